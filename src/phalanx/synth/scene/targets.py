"""Where people have their hands: at their sides, on hips, laps and tables, before and beside the face, raised, at each other.

Every place is drawn for a right arm in the frame of its person (who looks along -z, y is down, the right is at -x); left arms are those of
a mirror image. NumPy, metres.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from phalanx.hand.pose_space import GESTURE_NAMES, gestures
from phalanx.synth.scene.arms import frame, unit

PALM = np.array([0.0, 0.06, 0.018])  # hand frame: the middle of the palm's skin
FINGERS = np.array([0.0, 0.125, 0.010])  # hand frame: the middle of straight fingers' skin


@dataclass
class Anchors:
    """What the right arm of one person finds: joints and skin of the posed body without its arms.

    Attributes:
        shoulder, other_shoulder, hip, knee, pelvis: (3,) joints; `hip` and `knee` of the same side.
        reach: length of the arm.
        head: (3, 3) from the head's frame, `eyes` (3,) between the eyes.
        skin, normals: (V, 3) of torso, head and legs; `parts` (V,) 0 torso, 1 head, 2 legs.
        table: height of a table before the person, or none.
        camera: (3,) where the camera is.
        sitting: whether the person sits.
    """

    shoulder: np.ndarray
    other_shoulder: np.ndarray
    hip: np.ndarray
    knee: np.ndarray
    pelvis: np.ndarray
    reach: float
    head: np.ndarray
    eyes: np.ndarray
    skin: np.ndarray
    normals: np.ndarray
    parts: np.ndarray
    table: float | None
    camera: np.ndarray
    sitting: bool

    def surface(self, origin: np.ndarray, towards: np.ndarray, part: int, wide: float = 0.05) -> np.ndarray:
        """The point of the skin that is farthest along `towards` near the ray from `origin`."""
        towards = unit(towards)
        away = self.skin - origin
        along = away @ towards
        beside = np.linalg.norm(away - along[:, None] * towards, axis=1)
        near = (self.parts == part) & (beside < wide) & (along > 0)
        if not near.any():
            return origin
        return origin + towards * along[near].max()

    def on_head(self, x: float, y: float, z: float) -> np.ndarray:
        """A direction of the head's own frame, in the person's."""
        return self.head @ np.array([x, y, z])


@dataclass
class Target:
    """Where a right hand is to be: `wrist` (3,), `palm` (3, 3) from the hand's frame, and a style of its fingers (`STYLES`).

    A hand in `contact` lies on something and may touch it.
    """

    wrist: np.ndarray
    palm: np.ndarray
    style: str
    contact: bool = False


Draw = Callable[[np.random.Generator, Anchors], Target]

STYLES: dict[str, tuple[str, ...]] = {
    "hanging": ("relaxed", "relaxed", "grasp", "grasp_tight", "fist", "hook"),
    "resting": ("relaxed", "relaxed", "flat", "open", "grasp", "roof"),
    "flat": ("flat", "flat", "open", "roof", "relaxed"),
    "fist": ("fist", "fist_thumb_beside", "fist_thumb_on_index", "grasp_tight"),
    "touching": ("relaxed", "point", "pinch", "two_closed", "flat", "ok_curled", "index_hook", "hold_pen"),
    "waving": ("open", "open", "flat", "stretched", "four"),
    "pointing": ("point", "point", "gun", "two_closed"),
    "clasping": ("grasp", "roof", "relaxed", "duck"),
    "praying": ("flat",),
    "counting": ("fist", "point", "victory", "three", "three_thumb", "four", "open", "open", "flat", "thumb_up"),
    "shown": (
        "open",
        "open",
        "flat",
        "stretched",
        "fist",
        "fist_thumb_beside",
        "point",
        "victory",
        "three",
        "three_thumb",
        "four",
        "thumb_up",
        "gun",
        "call",
        "rock",
        "love",
        "little",
        "ok_curled",
        "pinch",
        "two_closed",
        "grasp",
        "relaxed",
    ),
    "any": (),
}
"""Gestures that a style is drawn from; none: any pose whatever."""


def style_angles(generator: np.random.Generator, style: str, poses: np.ndarray) -> np.ndarray:
    """Angles (23,) in degrees of fingers in a style, the wrist straight; `poses (N, 23)` in degrees are what `any` is drawn from."""
    names = STYLES[style]
    if not names:
        return poses[generator.integers(len(poses))].copy()
    table = gestures()
    first, second = (table[GESTURE_NAMES.index(names[generator.integers(len(names))])] for _ in range(2))
    share = generator.beta(0.6, 1.5)
    angles = first * (1 - share) + second * share
    return angles + generator.gamma(2.0, 2.0) * generator.normal(size=23) * np.where(np.arange(23) % 4 == 0, 0.5, 1.0)


def _about(generator: np.random.Generator, vector: tuple[float, float, float], spread: float) -> np.ndarray:
    return unit(unit(np.array(vector)) + generator.normal(0, spread, 3))


def _at(point: np.ndarray, palm: np.ndarray, held: np.ndarray) -> np.ndarray:
    """The wrist of a hand whose point `held` (hand frame) is at `point`."""
    return point - palm @ held


def hanging(generator: np.random.Generator, body: Anchors) -> Target:
    way = unit(np.array([-generator.uniform(0.05, 0.3), 1.0, generator.normal(-0.05, 0.15)]))
    palm = frame(_about(generator, (-0.1, 1.0, -0.15), 0.12), _about(generator, (1.0, 0.0, 0.45), 0.3))
    return Target(body.shoulder + way * body.reach * generator.uniform(0.93, 0.99), palm, "hanging")


def hidden(generator: np.random.Generator, body: Anchors) -> Target:
    """Behind the back, or in a pocket that the body hides."""
    palm = frame(_about(generator, (0.8, 0.5, 0.2), 0.2), _about(generator, (0.0, 0.0, 1.0), 0.3))
    back = body.surface(body.pelvis + np.array([0.0, -0.08, 0.0]), np.array([0.0, 0.0, 1.0]), 0)
    return Target(_at(back + [-0.03, 0.0, 0.04], palm, PALM), palm, "resting", True)


def on_hip(generator: np.random.Generator, body: Anchors) -> Target:
    level = body.pelvis + np.array([0.0, -generator.uniform(0.03, 0.13), 0.0])
    point = body.surface(level, np.array([-1.0, 0.0, generator.normal(-0.1, 0.2)]), 0)
    palm = frame(_about(generator, (0.35, 0.55, -0.8), 0.2), _about(generator, (1.0, 0.1, 0.2), 0.15))
    style = "fist" if generator.random() < 0.2 else "resting"
    return Target(_at(point + [-0.012, 0.0, 0.0], palm, PALM), palm, style, True)


def on_lap(generator: np.random.Generator, body: Anchors) -> Target:
    if body.table is not None:  # it would be hidden
        return on_table(generator, body)
    if not body.sitting:  # folded before the belly
        point = body.surface(body.pelvis + [0.0, generator.uniform(-0.1, 0.08), 0.0], np.array([0.0, 0.0, -1.0]), 0)
        palm = frame(_about(generator, (0.8, 0.6, 0.0), 0.2), _about(generator, (0.1, 0.0, 1.0), 0.15))
        return Target(_at(point + [-0.01, 0.0, -0.02], palm, PALM), palm, "resting", True)
    share = generator.uniform(0.3, 1.0)
    inner = body.hip * (1 - share) + body.knee * share
    point = body.surface(inner, np.array([generator.normal(0.2, 0.3), -1.0, 0.0]), 2)
    palm = frame(_about(generator, (0.4, 0.15, -1.0), 0.3), _about(generator, (0.05, 1.0, 0.0), 0.12))
    return Target(_at(point + [0.0, -0.008, 0.0], palm, PALM), palm, "resting", True)


def on_table(generator: np.random.Generator, body: Anchors) -> Target:
    if body.table is None:
        return on_lap(generator, body)
    point = np.array([generator.uniform(-0.32, 0.08), body.table, body.shoulder[2] - generator.uniform(0.25, 0.48)])
    if generator.random() < 0.25:  # on its edge, or on the elbow with the hand up
        palm = frame(_about(generator, (0.6, -0.3, -1.0), 0.3), _about(generator, (1.0, 0.0, 0.0), 0.3))
        return Target(point + [0.0, -0.045, 0.0], palm, "any", True)
    palm = frame(_about(generator, (0.45, 0.03, -1.0), 0.3), _about(generator, (0.0, 1.0, 0.0), 0.07))
    style = str(generator.choice(["flat", "resting", "any"], p=[0.35, 0.45, 0.2]))
    return Target(_at(point + [0.0, -0.004, 0.0], palm, PALM), palm, style, True)


_FACE = {  # direction from the middle of the head, fingers, palm: in the head's frame; style; what of the hand touches
    "chin": ((0.0, 0.75, -0.75), (0.55, -0.6, -0.1), (0.1, -0.7, 0.7), "fist"),
    "cheek": ((-0.75, 0.35, -0.6), (0.15, -1.0, 0.2), (0.75, 0.0, 0.6), "touching"),
    "ear": ((-1.0, 0.0, 0.1), (0.0, -1.0, 0.4), (1.0, 0.0, 0.1), "touching"),
    "mouth": ((-0.1, 0.5, -0.95), (0.8, -0.6, 0.0), (0.2, 0.0, 1.0), "touching"),
    "brow": ((-0.25, -0.45, -0.9), (0.6, -0.8, 0.1), (0.2, 0.2, 1.0), "touching"),
    "hair": ((-0.5, -0.9, 0.1), (0.3, -0.7, 0.8), (0.4, 1.0, 0.1), "resting"),
    "neck": ((-0.8, 0.7, 0.5), (0.5, -0.3, 0.9), (0.8, 0.0, -0.4), "resting"),
}


def at_face(generator: np.random.Generator, body: Anchors) -> Target:
    """On chin, cheek, ear, mouth, brow, hair or the nape."""
    towards, fingers, palmar, style = _FACE[str(generator.choice(list(_FACE)))]
    middle = body.eyes + body.on_head(0.0, 0.0, 0.09)
    way = body.on_head(*_about(generator, towards, 0.15))
    point = body.surface(middle, way, 1, 0.03)
    palm = frame(
        body.on_head(*_about(generator, fingers, 0.25)),
        body.on_head(*_about(generator, palmar, 0.2)),
    )
    if style == "fist" and generator.random() < 0.6:
        style = "touching"
    held = np.array([0.0, 0.095, 0.03]) if style == "fist" else FINGERS * [1.0, generator.uniform(0.5, 1.2), 1.0]
    return Target(_at(point + 0.012 * way, palm, held), palm, style, True)


def _facing(generator: np.random.Generator, body: Anchors, at: np.ndarray) -> np.ndarray:
    """Where palms of raised hands face: to the camera, back from it, to the side, anywhere."""
    camera = unit(body.camera - at)
    kind = generator.random()
    if kind < 0.5:
        return unit(camera + generator.normal(0, 0.3, 3))
    if kind < 0.68:
        return unit(-camera + generator.normal(0, 0.3, 3))
    if kind < 0.88:
        return _about(generator, (1.0, 0.0, -0.2), 0.4)
    return unit(generator.normal(size=3))


def beside_face(generator: np.random.Generator, body: Anchors) -> Target:
    """Raised beside or before the face, with any gesture: what webcams see most."""
    before = generator.random() < 0.4
    out = generator.uniform(-0.12, 0.08) if before else -generator.uniform(0.12, 0.34)
    room = 0.45 * np.linalg.norm(body.camera - body.eyes)
    forward = min(generator.uniform(0.17, 0.42) if before else generator.uniform(0.0, 0.35), room)
    wrist = body.eyes + body.head @ [out, 0.0, 0.0] + [0.0, generator.normal(0.16, 0.08), -forward]
    if generator.random() < 0.5:  # shown to the camera
        camera = unit(body.camera - wrist) * (1.0 if generator.random() < 0.72 else -1.0)
        palm = frame(_about(generator, (0.08, -1.0, -0.05), 0.2), unit(camera + generator.normal(0, 0.2, 3)))
        return Target(wrist, palm, "counting")
    palm = frame(_about(generator, (0.1, -1.0, -0.05), 0.35), _facing(generator, body, wrist))
    return Target(wrist, palm, "any")


def shown(generator: np.random.Generator, body: Anchors) -> Target:
    """Held up to the camera, somewhere between it and the head, often close to the camera: with any number of fingers."""
    away = np.linalg.norm(body.camera - body.eyes)
    aside = -generator.uniform(0.05, 0.3) if generator.random() < 0.75 else generator.uniform(-0.1, 0.2)
    goal = body.eyes + [aside, generator.uniform(-0.02, 0.3), 0.0]
    far = min(np.exp(generator.uniform(np.log(0.24), np.log(0.75))), max(away - 0.12, 0.2))
    wrist = body.camera + (goal - body.camera) * far / max(away, 0.3)
    camera = unit(body.camera - wrist)
    kind = generator.random()
    if kind < 0.6:
        palmar = camera
    elif kind < 0.84:
        palmar = -camera
    else:
        palmar = np.array([1.0, 0.0, -0.1])
    fingers = (0.1, -1.0, -0.1) if generator.random() < 0.85 else (0.7, -0.5, -0.3)
    palm = frame(_about(generator, fingers, 0.22), unit(palmar + generator.normal(0, 0.22, 3)))
    return Target(wrist, palm, "any" if generator.random() < 0.25 else "shown")


def gesturing(generator: np.random.Generator, body: Anchors) -> Target:
    """Before chest or belly, turned anyhow."""
    wrist = body.shoulder + [
        generator.uniform(-0.15, 0.25),
        generator.uniform(0.0, 0.35),
        -generator.uniform(0.2, 0.45),
    ]
    palm = frame(_about(generator, (0.5, -0.55, -0.6), 0.55), _facing(generator, body, wrist))
    return Target(wrist, palm, "any")


def to_camera(generator: np.random.Generator, body: Anchors) -> Target:
    """Stretched towards the camera: pointing at it, showing the palm, holding it."""
    way = unit(unit(body.camera - body.shoulder) + generator.normal(0, 0.22, 3))
    wrist = body.shoulder + way * body.reach * generator.uniform(0.6, 0.98)
    room = np.linalg.norm(body.camera - body.shoulder) - 0.32
    wrist = body.shoulder + way * min(np.linalg.norm(wrist - body.shoulder), max(room, 0.15))
    if generator.random() < 0.35:
        return Target(wrist, frame(unit(way + generator.normal(0, 0.2, 3)), unit(generator.normal(size=3))), "pointing")
    palm = frame(_about(generator, (0.1, -1.0, -0.1), 0.4), unit(way + generator.normal(0, 0.25, 3)))
    return Target(wrist, palm, "any")


def raised(generator: np.random.Generator, body: Anchors) -> Target:
    """Over the head or high beside it: waving, cheering, pointing up."""
    way = unit(np.array([-generator.uniform(0.0, 0.8), -1.0, -generator.uniform(-0.1, 0.6)]))
    wrist = body.shoulder + way * body.reach * generator.uniform(0.7, 0.98)
    palm = frame(_about(generator, (-0.1, -1.0, -0.1), 0.3), _facing(generator, body, wrist))
    return Target(wrist, palm, str(generator.choice(["waving", "any", "pointing", "fist"], p=[0.4, 0.35, 0.1, 0.15])))


def pointing(generator: np.random.Generator, body: Anchors) -> Target:
    way = unit(np.array([generator.normal(-0.4, 0.6), generator.normal(-0.1, 0.4), -generator.uniform(0.2, 1.0)]))
    palm = frame(unit(way + generator.normal(0, 0.12, 3)), _about(generator, (0.8, 0.6, 0.2), 0.4))
    return Target(body.shoulder + way * body.reach * generator.uniform(0.7, 0.98), palm, "pointing")


def crossed(generator: np.random.Generator, body: Anchors) -> Target:
    """On the other upper arm, before the chest."""
    down = generator.uniform(0.14, 0.24)
    point = body.other_shoulder + [generator.uniform(-0.06, 0.02), down, -generator.uniform(0.09, 0.13)]
    palm = frame(_about(generator, (1.0, -0.25, 0.1), 0.2), _about(generator, (0.1, 0.1, 1.0), 0.2))
    return Target(_at(point, palm, PALM), palm, "resting", True)


def joined(middle: np.ndarray, up: np.ndarray, style: str) -> Target:
    """One of a person's two hands that meet at `middle` with fingers along `up`."""
    palm = frame(up + [0.35, 0.0, 0.0], np.array([1.0, 0.0, 0.1]))
    return Target(_at(middle + [-0.006, 0.0, 0.0], palm, PALM), palm, style, True)


def held(generator: np.random.Generator, body: Anchors, middle: np.ndarray) -> Target:
    """In the hand of somebody at one's side, at `middle`."""
    out = unit(np.array([-1.0, 0.0, generator.normal(0, 0.2)]))
    palm = frame(_about(generator, (-0.15, 1.0, -0.3), 0.1), out)
    return Target(_at(middle - 0.008 * out, palm, PALM), palm, "clasping", True)


def upon(generator: np.random.Generator, point: np.ndarray, normal: np.ndarray, fingers: np.ndarray) -> Target:
    """On something of another arm or person: the palm at `point`, against the outward `normal`."""
    palm = frame(unit(fingers + generator.normal(0, 0.15, 3)), unit(-normal + generator.normal(0, 0.1, 3)))
    return Target(_at(point + 0.006 * normal, palm, PALM), palm, "resting", True)


SHARES: dict[str, dict[Draw, float]] = {
    "webcam": {
        shown: 0.3, beside_face: 0.22, at_face: 0.1, gesturing: 0.08, to_camera: 0.06, on_table: 0.06,
        hanging: 0.1, raised: 0.03, crossed: 0.02, on_lap: 0.02, hidden: 0.01,
    },
    "group": {
        hanging: 0.26, on_hip: 0.1, on_lap: 0.12, on_table: 0.08, at_face: 0.08, beside_face: 0.07, gesturing: 0.1,
        raised: 0.06, pointing: 0.04, to_camera: 0.02, crossed: 0.04, hidden: 0.015,
    },
    "desk": {on_table: 0.48, at_face: 0.16, beside_face: 0.1, gesturing: 0.14, hanging: 0.04, pointing: 0.04, crossed: 0.04},
    "own_eyes": {gesturing: 0.62, on_table: 0.14, on_lap: 0.08, pointing: 0.08, beside_face: 0.0, hanging: 0.08},
    "close": {gesturing: 0.3, at_face: 0.1, beside_face: 0.14, on_hip: 0.08, on_lap: 0.08, to_camera: 0.12, hanging: 0.1, on_table: 0.08},
}  # fmt: skip
"""How often hands are where, by kind of picture."""


def draw_targets(generator: np.random.Generator, kind: str, right: Anchors, left: Anchors) -> tuple[Target, Target]:
    """Where both hands of a person are, in a picture of this kind: at webcams one of them mostly is shown, or at the face."""
    draws, shares = zip(*SHARES[kind].items(), strict=True)
    chance = np.array(shares) / sum(shares)
    found = [draws[int(generator.choice(len(draws), p=chance))](generator, body) for body in (right, left)]
    if kind == "webcam" and generator.random() < 0.75:
        side = int(generator.integers(2))
        draw = (at_face, beside_face, shown)[int(generator.choice(3, p=[0.1, 0.25, 0.65]))]
        found[side] = draw(generator, (right, left)[side])
    return found[0], found[1]
