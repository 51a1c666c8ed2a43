"""pyrender with OSMesa, and trimesh's ray casting, behind a pipe (`child.py`). Imports nothing of Phalanx.

    python pyrender_worker.py HANDS.npz CORE

HANDS.npz: `vertices (N, V, 3)` and unit `normals (N, V, 3)`, float32, camera frame (x right, y down, z forward), metres;
`faces (F, 3)`, `uv (V, 2)`, `texture (T, T, 3)` uint8; `K (N, 3, 3)`, pixel centres at integers; `size`; `lights (L, 3)`, unit,
towards the lights; `colour (3,)`. The process keeps to the processor CORE.

Greets with `{"pyrender": version, "trimesh": version and ray caster}`, a name being null where it cannot run, and `"error"` where
neither can. Request: `{"what": name, "pictures": n, "save": path or null}`; answer: `{"seconds": s}`, for the first n pictures. Names:
`pyrender` and `trimesh` (four samples a pixel, averaged, a texture, coverage for a mask), `pyrender, plain` and `trimesh, plain` (one
sample a pixel, one colour). What is saved: `colour (n, S, S, 3)`, `depth (n, S, S)` metres, 0 = nothing, `mask (n, S, S)` bool.

A hand is another surface in every picture, so that a mesh is made anew each time; its normals are given.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import numpy as np
from child import Answers, requests

Picture = tuple[np.ndarray, np.ndarray, np.ndarray]  # colour, depth, mask
AMBIENT = 0.3
PLAIN = ", plain"


class Pyrender:
    """Physically based shading with the lights. OSMesa's own frame buffer has one sample a pixel."""

    def __init__(self, hands: Any, plain: bool) -> None:
        os.environ["PYOPENGL_PLATFORM"] = "osmesa"
        import pyrender
        from OpenGL import GL

        self.library, self.hands, self.plain = pyrender, hands, plain
        self.faces, self.uv = hands["faces"].astype(np.uint32), hands["uv"].astype(np.float32)
        self.K = hands["K"] if plain else finer(hands["K"])
        size = int(hands["size"]) * (1 if plain else 2)
        self.renderer = pyrender.OffscreenRenderer(size, size)
        self.scene = pyrender.Scene(bg_color=np.zeros(4), ambient_light=np.full(3, AMBIENT))
        self.camera = pyrender.IntrinsicsCamera(1.0, 1.0, 0.0, 0.0, znear=0.05, zfar=5.0)
        self.scene.add(self.camera, pose=np.diag([1.0, -1.0, -1.0, 1.0]))  # OpenGL looks along -z, y up
        for towards in hands["lights"]:
            self.scene.add(pyrender.DirectionalLight(intensity=3.0), pose=shining_from(towards))
        look: dict[str, Any] = {"baseColorFactor": [*hands["colour"], 1.0]}
        if not plain:
            nearest = pyrender.Sampler(magFilter=GL.GL_NEAREST, minFilter=GL.GL_NEAREST)
            texture = pyrender.Texture(source=hands["texture"], source_channels="RGB", sampler=nearest)
            look = {"baseColorTexture": texture}
        self.material = pyrender.MetallicRoughnessMaterial(metallicFactor=0.0, roughnessFactor=0.6, **look)
        self.draw(0)
        self.version = f"{pyrender.__version__}, OSMesa {GL.glGetString(GL.GL_RENDERER).decode()}"

    def draw(self, index: int) -> Picture:
        K = self.K[index]
        self.camera.fx, self.camera.fy = K[0, 0], K[1, 1]
        self.camera.cx, self.camera.cy = K[0, 2] + 0.5, K[1, 2] + 0.5  # OpenGL counts from the picture's edge
        surface = self.library.Primitive(
            positions=self.hands["vertices"][index],
            normals=self.hands["normals"][index],
            texcoord_0=None if self.plain else self.uv,
            indices=self.faces,
            material=self.material,
        )
        node = self.scene.add(self.library.Mesh([surface]))
        colour, depth = self.renderer.render(self.scene)
        self.scene.remove_node(node)
        return (colour, depth, depth > 0) if self.plain else averaged(colour, depth)


class Trimesh:
    """A ray through the centre of every pixel, or quarter of one; Lambert's law with smooth normals where it hits."""

    def __init__(self, hands: Any, plain: bool) -> None:
        import trimesh

        self.library, self.hands, self.plain = trimesh, hands, plain
        self.faces = hands["faces"].astype(np.int64)
        self.K = (hands["K"] if plain else finer(hands["K"])).astype(np.float64)
        self.size = int(hands["size"]) * (1 if plain else 2)
        v, u = np.mgrid[: self.size, : self.size].reshape(2, -1)
        self.pixels = np.stack([u, v, np.ones_like(u)], -1).astype(np.float64)  # (S * S, 3)
        self.origins = np.zeros_like(self.pixels)
        caster = "embree" if trimesh.ray.has_embree else "its own ray caster, rtree"
        mesh = trimesh.creation.icosphere(1)
        mesh.ray.intersects_first(np.array([[0.0, 0.0, -5.0]]), np.array([[0.0, 0.0, 1.0]]))  # needs one of both
        self.version = f"{trimesh.__version__}, {caster}"

    def draw(self, index: int) -> Picture:
        vertices, normals = self.hands["vertices"][index], self.hands["normals"][index]
        mesh = self.library.Trimesh(vertices, self.faces, process=False)
        rays = self.pixels @ np.linalg.inv(self.K[index]).T  # z = 1
        face = mesh.ray.intersects_first(self.origins, rays)  # (S * S,), -1 = nothing
        mask = face >= 0
        rays, corners = rays[mask], self.faces[face[mask]]  # (M, 3)
        a, b, c = vertices[corners].astype(np.float64).transpose(1, 0, 2)
        # Barycentric coordinate i is proportional to ray . (vj x vk), and the plane's normal is their sum
        planes = np.stack([np.cross(b, c), np.cross(c, a), np.cross(a, b)], 1)  # (M, 3, 3)
        weights = (planes * rays[:, None]).sum(-1)
        total = weights.sum(-1)
        weights = (weights / total[:, None])[..., None]
        depth = np.zeros(len(mask), np.float32)
        depth[mask] = (planes[:, 0] * a).sum(-1) / total
        normal = (normals[corners] * weights).sum(1)
        normal /= np.linalg.norm(normal, axis=1, keepdims=True)
        light = AMBIENT + np.maximum(normal @ self.hands["lights"].T, 0.0).sum(1)
        albedo = self.hands["colour"] if self.plain else self.texture((self.hands["uv"][corners] * weights).sum(1))
        colour = np.zeros((len(mask), 3), np.uint8)
        colour[mask] = (255.0 * np.sqrt(np.clip(light[:, None] * albedo, 0.0, 1.0))).astype(np.uint8)
        colour, depth = colour.reshape(self.size, self.size, 3), depth.reshape(self.size, self.size)
        return (colour, depth, depth > 0) if self.plain else averaged(colour, depth)

    def texture(self, uv: np.ndarray) -> np.ndarray:
        """The nearest texels' reflectance at uv (M, 2)."""
        side = len(self.hands["texture"])
        u, v = (uv * side).astype(np.int64).clip(0, side - 1).T
        return self.hands["texture"][v, u] / np.float32(255.0)


def finer(K: np.ndarray) -> np.ndarray:
    """The cameras (N, 3, 3) of twice as many pixels."""
    K = K.copy()
    K[:, :2] *= 2.0
    K[:, :2, 2] += 0.5
    return K


def averaged(colour: np.ndarray, depth: np.ndarray) -> Picture:
    """A picture of half the side: mean colour, mean depth of what was hit, and coverage."""
    places = [(slice(i, None, 2), slice(j, None, 2)) for i in (0, 1) for j in (0, 1)]
    mean = sum(colour[place].astype(np.uint16) for place in places) >> 2
    hits = sum((depth[place] > 0).astype(np.uint8) for place in places)
    total = sum(depth[place] for place in places)
    return mean.astype(np.uint8), total / np.maximum(hits, 1), hits * np.float32(0.25)


def shining_from(towards: np.ndarray) -> np.ndarray:
    """The pose of a light whose -z runs away from where it is."""
    other = np.eye(3)[np.abs(towards).argmin()]
    x = np.cross(other, towards)
    x /= np.linalg.norm(x)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([x, np.cross(towards, x), towards], 1)
    return pose


def main() -> None:
    answer = Answers()
    os.sched_setaffinity(0, {int(sys.argv[2])})
    hands = dict(np.load(sys.argv[1]))
    renderers: dict[str, Any] = {}
    greeting: dict[str, Any] = {}
    for name, kind in (("pyrender", Pyrender), ("trimesh", Trimesh)):
        try:
            renderers[name], renderers[name + PLAIN] = kind(hands, plain=False), kind(hands, plain=True)
            greeting[name] = renderers[name].version
        except Exception as error:  # whatever an unfit environment raises
            greeting[name] = None
            greeting[f"{name}_fault"] = repr(error)
    if not renderers:
        greeting["error"] = f"pyrender: {greeting['pyrender_fault']}; trimesh: {greeting['trimesh_fault']}"
    answer(greeting)
    for request in requests():
        draw = renderers[request["what"]].draw
        start = time.perf_counter()
        pictures = [draw(index) for index in range(request["pictures"])]
        seconds = time.perf_counter() - start
        if request["save"]:
            colour, depth, mask = map(np.stack, zip(*pictures, strict=True))
            np.savez(request["save"], colour=colour, depth=depth, mask=mask >= 0.5)
        answer({"seconds": seconds})


if __name__ == "__main__":
    main()
