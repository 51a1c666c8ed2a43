"""Decimation of a textured triangle mesh to a subset of its own vertices, for `scripts/build_open_body.py`.

Edges collapse onto one of their ends, cheapest first, at the cost of quadric errors (Garland and Heckbert 1997). Whatever a vertex
has (texture, skin weights, shapes) therefore stays as it was. Seams of the texture and borders collapse along themselves alone.
"""

from __future__ import annotations

import heapq
from collections import defaultdict

import numpy as np


class Decimation:
    """A triangle mesh that loses vertices by collapsing edges onto one of their ends.

    Args:
        points: (V, 3).
        faces, face_uv: (F, 3) vertices and texture coordinates of the corners.
        uv: (T, 2).
        features: (V, K) what else shall be kept, in metres: an edge between vertices that differ is expensive.
        importance: (V,) factors on the cost.
    """

    def __init__(
        self,
        points: np.ndarray,
        faces: np.ndarray,
        face_uv: np.ndarray,
        uv: np.ndarray,
        features: np.ndarray,
        importance: np.ndarray,
    ) -> None:
        self.points, self.uv, self.features, self.importance = points, uv, features, importance
        self.faces: dict[int, list[tuple[int, int]]] = {
            i: [(int(v), int(t)) for v, t in zip(f, g, strict=True)]
            for i, (f, g) in enumerate(zip(faces, face_uv, strict=True))
        }
        self.of: dict[int, set[int]] = defaultdict(set)
        for i, corners in self.faces.items():
            for v, _ in corners:
                self.of[v].add(i)
        self.quadrics = np.zeros((len(points), 4, 4))
        self.area = np.zeros(len(points))
        a, b, c = (points[faces[:, k]] for k in range(3))
        normal = np.cross(b - a, c - a)
        twice = np.linalg.norm(normal, axis=1)
        normal /= twice[:, None].clip(1e-12)
        plane = np.concatenate([normal, -(normal * a).sum(1, keepdims=True)], 1)
        quadric = 0.5 * twice[:, None, None] * plane[:, :, None] * plane[:, None]
        for k in range(3):
            np.add.at(self.quadrics, faces[:, k], quadric / 3)
            np.add.at(self.area, faces[:, k], twice / 6)
        for v in list(self.of):
            for w, pairs in self._edges(v).items():
                if self._is_crease(pairs):  # planes through seams and borders keep their course
                    for i in self.of[v] & self.of[w]:
                        along = points[w] - points[v]
                        upright = np.cross(along, normal[i])
                        upright /= max(float(np.linalg.norm(upright)), 1e-12)
                        border = np.append(upright, -upright @ points[v])
                        self.quadrics[v] += 0.5 * (along @ along) * np.outer(border, border)

    def _edges(self, v: int) -> dict[int, list[tuple[int, int]]]:
        """Neighbours of a vertex, each with the texture coordinates of both ends in every face at the edge."""
        found: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for i in self.of[v]:
            corners = self.faces[i]
            own = next(t for w, t in corners if w == v)
            for w, t in corners:
                if w != v:
                    found[w].append((own, t))
        return found

    @staticmethod
    def _is_crease(pairs: list[tuple[int, int]]) -> bool:
        return len(pairs) != 2 or pairs[0] != pairs[1]

    def _cost(self, u: int, v: int) -> float:
        at = np.append(self.points[v], 1.0)
        bent = at @ (self.quadrics[u] + self.quadrics[v]) @ at
        gone = self.points[u] - self.points[v]
        other = self.features[u] - self.features[v]
        return float(self.importance[u] * (bent + self.area[u] * (other @ other + 2e-3 * (gone @ gone))))

    def _after(self, u: int, v: int) -> dict[int, list[tuple[int, int]]] | None:
        """The faces that change when `u` falls onto `v`, or None when it must not."""
        edges = self._edges(u)
        if v not in edges or len(edges[v]) > 2:
            return None
        creases = [w for w, pairs in edges.items() if self._is_crease(pairs)]
        if creases and (v not in creases or len(creases) != 2 or len({len(edges[w]) for w in creases}) != 1):
            return None
        onto = dict(edges[v])
        if len(set(edges) & set(self._edges(v))) != len(edges[v]):
            return None
        after = {}
        for i in self.of[u] - self.of[v]:
            old = self.faces[i]
            if any(w == u and t not in onto for w, t in old):
                return None
            new = [(v, onto[t]) if w == u else (w, t) for w, t in old]
            before, now = (self._normal(corners) for corners in (old, new))
            size = float(np.linalg.norm(now))
            if before @ now < 0.3 * np.linalg.norm(before) * size or size < 1e-9:
                return None
            sides = self.points[[w for w, _ in new]]
            longest = max(float(((sides[k] - sides[k - 1]) ** 2).sum()) for k in range(3))
            if size < 0.12 * longest or self._turn(old) * self._turn(new) <= 0:
                return None
            after[i] = new
        return after

    def _normal(self, corners: list[tuple[int, int]]) -> np.ndarray:
        a, b, c = self.points[[v for v, _ in corners]]
        return np.cross(b - a, c - a)

    def _turn(self, corners: list[tuple[int, int]]) -> float:
        (ax, ay), (bx, by), (cx, cy) = self.uv[[t for _, t in corners]].tolist()
        return (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)

    def run(self, target: int) -> None:
        """Collapse the cheapest edges until `target` faces are left."""
        stamp = np.zeros(len(self.points), int)
        heap: list[tuple[float, int, int, int, int]] = []

        def push(u: int, v: int) -> None:
            heapq.heappush(heap, (self._cost(u, v), u, v, int(stamp[u]), int(stamp[v])))

        for u in list(self.of):
            for v in self._edges(u):
                push(u, v)
        while heap and len(self.faces) > target:
            _, u, v, at_u, at_v = heapq.heappop(heap)
            if stamp[u] != at_u or stamp[v] != at_v or not self.of[u]:
                continue
            after = self._after(u, v)
            if after is None:
                continue
            for i in self.of[u] & self.of[v]:
                for w, _ in self.faces.pop(i):
                    self.of[w].discard(i)
            for i, corners in after.items():
                self.faces[i] = corners
                self.of[v].add(i)
            self.of[u] = set()
            self.quadrics[v] += self.quadrics[u]
            self.area[v] += self.area[u]
            near = set(self._edges(v))
            stamp[v] += 1
            for w in near:
                push(w, v)
                push(v, w)
                for x in self._edges(w):  # what was forbidden may be allowed now
                    if x not in near and x != v and stamp[w] == stamp[w]:
                        push(w, x)

    def result(self) -> tuple[np.ndarray, np.ndarray]:
        """Faces and their texture coordinates (F, 3)."""
        corners = np.array([self.faces[i] for i in sorted(self.faces)])
        return corners[..., 0], corners[..., 1]
