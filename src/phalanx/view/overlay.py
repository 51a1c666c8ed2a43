"""The picture that shows a prediction: mesh and joints on the photo, and beside it the hand seen from the side."""

import math
from collections.abc import Sequence
from typing import Protocol

import cv2
import numpy as np

from phalanx.hand.gltf import vertex_normals
from phalanx.hand.prediction import NO_GESTURE, HandPrediction, hand_names
from phalanx.hand.skeleton import BONES, FINGERS

LONG_SIDE = (720, 1080)  # pixels; photos are brought to between these for drawing
SUPERSAMPLING = 2
NEAREST = 0.005  # metres before the eye within which nothing is drawn
_SIDE = 8.0  # pixels, before they are shrunk, of a side of a triangle of one colour; larger ones are split,
_STEP = 16.0  # if the colours of their corners differ by more than this, levels of 255,
_SPLITS = 3  # in four, up to so many times
_SHIFT = 4  # OpenCV's fixed point: positions to 1/16 pixel

FINGER_COLOURS = np.array(
    [[239, 83, 80], [255, 179, 0], [102, 187, 106], [41, 182, 246], [186, 104, 200]], np.float64
)  # thumb to little finger, RGB
_WRIST = (250, 250, 250)
SIDE_COLOURS = {"right": np.array([0.66, 0.80, 0.96]), "left": np.array([0.98, 0.78, 0.52])}  # of surfaces, RGB
_PANEL = (np.array([250, 250, 252.0]), np.array([222, 226, 232.0]))  # background of the turned view, top to bottom


def draw_overlay(image: np.ndarray, hands: Sequence[HandPrediction]) -> np.ndarray:
    """The photo with each hand's surface and joints, and beside it a turned view of each hand.

    Right hands are blue, left ones orange. Several hands are labelled by side and number, as `hand.prediction.hand_names` counts; hands
    whose gestures are known, by these.

    Args:
        image: (H, W, 3) uint8 RGB, the picture that the hands were predicted in.
        hands: predictions; those without a surface show their joints alone.
    Returns:
        (H', W', 3) uint8 RGB; H' is H brought to a size that shows fine lines.
    """
    short = [f"{name[0].upper()}{name.split('_')[1]}" for name in hand_names(hands)] if len(hands) > 1 else None
    labels = [with_gesture(hand, label) for hand, label in zip(hands, short or [""] * len(hands), strict=True)]
    photo = draw_hands(image, hands, labels)
    return np.concatenate([photo, _turned_views(hands, short, photo.shape[0])], axis=1) if hands else photo


def with_gesture(hand: HandPrediction, label: str) -> str:
    """A label with the hand's gesture and its probability behind it, where they are known."""
    if hand.gesture is None or hand.gesture_probability is None:
        return label
    sure = "" if hand.gesture == NO_GESTURE else f" ({100 * hand.gesture_probability:.0f} %)"
    return f"{label}{': ' if label else ''}{hand.gesture}{sure}"


def draw_hands(image: np.ndarray, hands: Sequence[HandPrediction], labels: Sequence[str] | None = None) -> np.ndarray:
    """The photo with each hand's surface and joints, and `labels` at the wrists; arguments and size as for `draw_overlay`."""
    photo, scale = _at_drawing_size(image)
    canvas = photo.astype(np.float32)
    for hand in sorted(hands, key=lambda hand: -hand.joints[:, 2].mean()):  # the nearest last
        K = _resized(hand.K, scale)
        if hand.vertices is not None and hand.faces is not None:
            _draw_surface(canvas, hand, _as_bent(hand, hand.vertices), K, 0.75, SIDE_COLOURS[hand.side])
        _draw_skeleton(canvas, (hand.joints_2d + 0.5) * scale - 0.5, hand.joints[:, 2])
    drawn = _to_uint8(canvas)
    for hand, label in zip(hands, labels or (), strict=labels is not None):
        _draw_label(drawn, label, (hand.joints_2d[0] + 0.5) * scale - 0.5, SIDE_COLOURS[hand.side])
    return drawn


def draw_tag(picture: np.ndarray, text: str) -> np.ndarray:
    """The picture (H, W, 3) uint8 with a line of text on a plate in its upper left corner."""
    tagged = picture.copy()
    _draw_label(tagged, text, np.zeros(2), np.array([0.93, 0.93, 0.93]))
    return tagged


def _turned_views(hands: Sequence[HandPrediction], labels: Sequence[str] | None, height: int) -> np.ndarray:
    """A turned view of each hand, in columns of at most three, or of more where that is less than a square: (height, W, 3)."""
    rows = max(min(len(hands), 3), math.ceil(math.sqrt(len(hands))))
    sides = [height // rows + (row < height % rows) for row in range(rows)]
    columns = []
    for start in range(0, len(hands), rows):
        views = [_to_uint8(_background(max(sides), side)) for side in sides]
        for row, hand in enumerate(hands[start : start + rows]):
            views[row] = draw_turned(hand, max(sides), sides[row], SIDE_COLOURS[hand.side])
            if labels is not None:
                _draw_label(views[row], labels[start + row], np.zeros(2), SIDE_COLOURS[hand.side])
        columns.append(np.concatenate(views))
    return np.concatenate(columns, axis=1)


def _as_bent(hand: HandPrediction, vertices: np.ndarray) -> np.ndarray:
    """Vertices (V, 3) moved sideways to where a camera without a lens would see them as this one does; those behind it stay."""
    if hand.lens is None:
        return vertices
    before = vertices[:, 2:] > NEAREST
    depth = np.where(before, vertices[:, 2:], 1.0)
    return np.where(before, np.concatenate((hand.lens.distort(vertices[:, :2] / depth) * depth, depth), 1), vertices)


class Posed(Protocol):
    """What a turned view needs of a hand; a `HandPrediction` is one."""

    @property
    def joints(self) -> np.ndarray: ...  # (21, 3)

    @property
    def vertices(self) -> np.ndarray | None: ...  # (V, 3)

    @property
    def faces(self) -> np.ndarray | None: ...  # (F, 3)


def draw_turned(hand: Posed, width: int, height: int, colour: np.ndarray = SIDE_COLOURS["right"]) -> np.ndarray:
    """The hand as seen from the right of the picture, turned 90 degrees about the vertical: (height, width, 3) uint8.

    What was near the camera is on the left. The view is from far away, so that sizes compare. `colour` of the surface: RGB in 0..1.
    """
    # About the middle of the hand, not of the forearm: x becomes depth, depth becomes x.
    middle = (hand.joints.min(0) + hand.joints.max(0)) / 2
    turn = np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])
    joints = (hand.joints - middle) @ turn.T  # (21, 3)
    radius = 1.25 * np.abs(joints[:, :2]).max() + 0.01
    distance = 40 * radius
    focal = min(width, height) / 2 / radius * distance
    K = np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])
    joints = joints + [0, 0, distance]

    canvas = _background(width, height)
    if hand.vertices is not None and hand.faces is not None:
        vertices = (hand.vertices - middle) @ turn.T + [0, 0, distance]
        _draw_surface(canvas, hand, vertices, K, 0.92, colour)
    pixels = joints @ K.T
    _draw_skeleton(canvas, pixels[:, :2] / pixels[:, 2:], joints[:, 2])
    return _to_uint8(canvas)


def _background(width: int, height: int) -> np.ndarray:
    """Of a turned view: (height, width, 3) float32 in 0..255."""
    ramp = np.linspace(0, 1, height)[:, None, None]
    return np.broadcast_to(_PANEL[0] + ramp * (_PANEL[1] - _PANEL[0]), (height, width, 3)).astype(np.float32, order="C")


def _draw_surface(
    canvas: np.ndarray, hand: Posed, vertices: np.ndarray, K: np.ndarray, opacity: float, colour: np.ndarray
) -> None:
    """Lay the shaded surface over the canvas (H, W, 3) in 0..255, in place; antialiased.

    `vertices` (V, 3) are where they are to be seen; `hand` says which of them are its forearm. The forearm fades out and must not hide
    the hand where it has faded, so the hand is drawn by itself, closed at the wrist, and the whole surface over it.
    """
    assert hand.faces is not None
    fade = _forearm_fade(hand)  # (V,)
    faces = hand.faces[(fade[hand.faces] > 0).any(1)]
    alone = faces[(fade[faces] >= 1).all(1)]
    height, width = canvas.shape[:2]
    pixels = vertices[np.unique(_before(faces, vertices))] @ K.T
    pixels = pixels[:, :2] / pixels[:, 2:]
    low = np.clip(np.floor(pixels.min(0, initial=width + height)) - 1, 0, [width, height]).astype(int)
    high = np.clip(np.ceil(pixels.max(0, initial=0)) + 2, 0, [width, height]).astype(int)
    if (high <= low).any():
        return

    s = SUPERSAMPLING
    to_fine = np.array([[s, 0, (s - 1) / 2 - s * low[0]], [0, s, (s - 1) / 2 - s * low[1]], [0, 0, 1.0]])
    size = ((high - low) * s).tolist()
    more, lid = _lid(alone, vertices)
    points = np.concatenate((vertices, more))
    colours = _shaded(points, np.concatenate((hand.faces, lid)), colour)
    rgba = np.c_[colours, np.append(fade, np.ones(len(more)))]  # (V, 4)
    fine = _painted(points, rgba, np.concatenate((faces, lid)), to_fine @ K, *size)
    rows, columns = np.nonzero((fine[..., 3] > 0) & (fine[..., 3] < 255))
    if len(rows):  # the hand alone, where the forearm may hide it
        top, left = rows.min(), columns.min()
        part = fine[top : rows.max() + 1, left : columns.max() + 1]
        to_part = np.array([[1.0, 0, -left], [0, 1, -top], [0, 0, 1]]) @ to_fine
        hidden = _painted(points, rgba, np.concatenate((alone, lid)), to_part @ K, part.shape[1], part.shape[0])
        part += (hidden * (1 - part[..., 3:] / np.float32(255))).astype(np.uint8)
    layer = cv2.resize(fine, tuple((high - low).tolist()), interpolation=cv2.INTER_AREA).astype(np.float32)
    _lay_over(canvas, low, high, layer[..., :3], layer[..., 3:] / 255, opacity)


def _before(faces: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    """Those of the faces (F, 3) that lie before the eye."""
    return faces[(vertices[faces, 2] > NEAREST).all(1)]


def _painted(
    points: np.ndarray, rgba: np.ndarray, faces: np.ndarray, K: np.ndarray, width: int, height: int
) -> np.ndarray:
    """Premultiplied colour and opacity (H, W, 4) uint8 of the outside of a surface (V, 3) as camera K sees it; `rgba` (V, 4) in 0..1.

    Small triangles of one colour each, the farthest first: for hands as good as a depth buffer and smooth shading, and quicker.
    """
    canvas = np.zeros((height, width, 4), np.uint8)
    faces = _before(faces, points)
    pixels = points @ K.T
    corners = (pixels[:, :2] / np.where(pixels[:, 2:] > 0, pixels[:, 2:], 1))[faces]  # (F, 3, 2)
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    outside = first[:, 0] * second[:, 1] < first[:, 1] * second[:, 0]  # y points down
    low, high = corners.min(1), corners.max(1)
    shown = outside & (high > -1).all(1) & (low < [width, height]).all(1) & (np.abs(corners) < 1e5).all((1, 2))
    # Each corner: x and y in pixels, depth, premultiplied colour, opacity.
    colours = np.c_[rgba[:, :3] * rgba[:, 3:], rgba[:, 3]] * 255
    corners = np.concatenate((corners, points[faces][..., 2:], colours[faces]), axis=2)[shown]  # (F, 3, 7)
    corners = _split(corners.astype(np.float32))
    corners = corners[np.argsort(-corners[..., 2].mean(1))]
    spots = np.round(corners[..., :2] * (1 << _SHIFT)).astype(np.int32)
    for spot, flat in zip(spots, np.round(corners[..., 3:].mean(1)).tolist(), strict=True):
        cv2.fillConvexPoly(canvas, spot, flat, cv2.LINE_8, _SHIFT)
    return canvas


def _split(corners: np.ndarray) -> np.ndarray:
    """Triangles (F, 3, 7) in four, and in four again, until they are small or their corners have nearly one colour."""
    small: list[np.ndarray] = []
    for _ in range(_SPLITS):
        sides = np.linalg.norm(corners[..., :2] - np.roll(corners[..., :2], 1, axis=1), axis=2)
        large = (sides.max(1) > _SIDE) & (np.ptp(corners[..., 3:], axis=1).max(1) > _STEP)
        small.append(corners[~large])
        a, b, c = corners[large].swapaxes(0, 1)
        ab, bc, ca = (a + b) / 2, (b + c) / 2, (c + a) / 2
        parts = ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))
        corners = np.concatenate([np.stack(part, axis=1) for part in parts])
    return np.concatenate((*small, corners))


def _lid(faces: np.ndarray, vertices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What closes the hole of a surface: further vertices (N, 3), and a fan of faces (M, 3) of them about the middle of the hole.

    They have their own corners, so that the surface is not shaded as if it were round at the hole's rim.
    """
    edges = faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2)
    _, number, count = np.unique(np.sort(edges, axis=1), axis=0, return_inverse=True, return_counts=True)
    rim, place = np.unique(edges[count[number.ravel()] == 1], return_inverse=True)
    if len(rim) == 0:
        return np.zeros((0, 3)), np.zeros((0, 3), int)
    ends = place.reshape(-1, 2) + len(vertices)
    fan = np.stack((ends[:, 1], ends[:, 0], np.full(len(ends), len(vertices) + len(rim))), axis=1)
    return np.concatenate((vertices[rim], vertices[rim].mean(0)[None])), fan


def _shaded(vertices: np.ndarray, faces: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """Colours (V, 3) in 0..1: a light from above left and before, an even one, and darker rims."""
    normals = vertex_normals(vertices, faces)
    key = np.array([-0.5, -0.7, -0.8]) / np.linalg.norm([-0.5, -0.7, -0.8])
    lambert = np.clip(normals @ key, 0, None)
    away = vertices / np.linalg.norm(vertices, axis=1, keepdims=True).clip(1e-12)
    facing = np.clip(-(away * normals).sum(1), 0, 1)
    light = 0.30 + 0.55 * lambert + 0.20 * facing
    return np.clip(light[:, None] * colour + 0.18 * lambert[:, None] ** 18, 0, 1)


def _forearm_fade(hand: Posed) -> np.ndarray:
    """Opacity (V,): 1 on the hand, falling to 0 along the forearm, which ends somewhere."""
    assert hand.vertices is not None
    length = np.linalg.norm(hand.joints[9] - hand.joints[0])
    back = (hand.joints[0] - hand.joints[9]) / length
    along = (hand.vertices - hand.joints[0]) @ back / length  # 0 at the wrist, 1 a palm's length behind it
    opacity = np.clip((0.75 - along) / 0.6, 0, 1)
    return opacity * opacity * (3 - 2 * opacity)


def _draw_skeleton(canvas: np.ndarray, pixels: np.ndarray, depth: np.ndarray) -> None:
    """Bones as lines and joints as dots in the fingers' colours, far ones first, in place; pixels (21, 2), depth (21,)."""
    height, width = canvas.shape[:2]
    if not np.isfinite(pixels).all() or np.abs(pixels).max() > 1e5:
        return
    s = SUPERSAMPLING
    extent = np.ptp(pixels, axis=0).max()
    thickness = float(np.clip(extent / 110, 1.2, 4.0))
    reach = 3 * thickness + 2
    low = np.clip(np.floor(pixels.min(0) - reach), 0, [width, height]).astype(int)
    high = np.clip(np.ceil(pixels.max(0) + reach), 0, [width, height]).astype(int)
    if (high <= low).any():
        return
    shape = ((high[1] - low[1]) * s, (high[0] - low[0]) * s)
    ink, cover = np.zeros((*shape, 3), np.uint8), np.zeros(shape, np.uint8)
    fine = (pixels + 0.5 - low) * s - 0.5
    spots = [tuple(int(v) for v in np.round(p * (1 << _SHIFT))) for p in fine]

    finger = {joint: k for k, joints in enumerate(FINGERS) for joint in joints}
    marks = [(depth[[a, b]].mean(), (a, b)) for a, b in BONES] + [(depth[j] - 1e-4, (j,)) for j in range(21)]
    for _, joints in sorted(marks, key=lambda mark: -mark[0]):
        colour = tuple(FINGER_COLOURS[finger[joints[-1]]].tolist()) if joints[-1] in finger else _WRIST
        if len(joints) == 2:
            wide = max(round(thickness * s), 1)
            for target, value in ((ink, colour), (cover, 255)):
                cv2.line(target, spots[joints[0]], spots[joints[1]], value, wide, cv2.LINE_AA, _SHIFT)
        else:
            radius = round(1.35 * thickness * s * (1 << _SHIFT))
            rim = radius + round(0.5 * thickness * s * (1 << _SHIFT))
            for target, outer, inner in ((ink, (255, 255, 255), colour), (cover, 255, 255)):
                cv2.circle(target, spots[joints[0]], rim, outer, -1, cv2.LINE_AA, _SHIFT)
                cv2.circle(target, spots[joints[0]], radius, inner, -1, cv2.LINE_AA, _SHIFT)
    small = tuple((high - low).tolist())
    # Premultiplied, so that the black around the lines does not bleed into their edges.
    share = (cover[..., None] / 255.0).astype(np.float32)
    colour = cv2.resize(np.minimum(ink, 255 * share), small, interpolation=cv2.INTER_AREA)
    _lay_over(canvas, low, high, colour, cv2.resize(share, small, interpolation=cv2.INTER_AREA), opacity=0.9)


def _draw_label(picture: np.ndarray, label: str, place: np.ndarray, colour: np.ndarray) -> None:
    """Write a label on a plate at a place (2,) in pixels, or as near as it is inside the picture (H, W, 3) uint8, in place."""
    if not label or not np.isfinite(place).all():
        return
    size = max(min(picture.shape[:2]) / 1000, 0.4)
    thickness = max(round(2 * size), 1)
    (wide, high), below = cv2.getTextSize(label, cv2.FONT_HERSHEY_SIMPLEX, size, thickness)
    margin = round(6 * size)
    plate = np.array([wide, high + below]) + 2 * margin
    room = np.maximum(picture.shape[1::-1] - plate, 0)
    x, y = np.clip(np.round(place - plate / 2), 0, room).astype(int).tolist()
    cv2.rectangle(picture, (x, y), (x + int(plate[0]) - 1, y + int(plate[1]) - 1), (colour * 255).round().tolist(), -1)
    start = (x + margin, y + margin + high)
    cv2.putText(picture, label, start, cv2.FONT_HERSHEY_SIMPLEX, size, (20, 20, 20), thickness, cv2.LINE_AA)


def _lay_over(
    canvas: np.ndarray, low: np.ndarray, high: np.ndarray, colour: np.ndarray, cover: np.ndarray, opacity: float
) -> None:
    """Lay a premultiplied layer over the part of the canvas from `low` to `high` (x, y), in place."""
    region = canvas[low[1] : high[1], low[0] : high[0]]
    region *= 1 - opacity * cover.reshape(*region.shape[:2], 1)
    region += opacity * colour


def _at_drawing_size(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The photo at a size for drawing, and by how much x and y were scaled (2,)."""
    height, width = image.shape[:2]
    longer = max(height, width)
    factor = np.clip(longer, *LONG_SIDE) / longer
    size = (max(round(width * factor), 1), max(round(height * factor), 1))
    way = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    photo = image if size == (width, height) else cv2.resize(image, size, interpolation=way)
    return photo, np.array([size[0] / width, size[1] / height])


def _resized(K: np.ndarray, scale: np.ndarray) -> np.ndarray:
    x, y = scale
    return np.array([[x, 0, (x - 1) / 2], [0, y, (y - 1) / 2], [0, 0, 1]]) @ K


def _to_uint8(canvas: np.ndarray) -> np.ndarray:
    return np.clip(np.round(canvas), 0, 255).astype(np.uint8)
