"""Phalanx and MediaPipe Hands looking for all hands of the same pictures, in one run, with one table.

    python benchmarks/detection.py SAMPLES [--mediapipe-python PATH] [--weights FILE] [--scenes 150] [--json FILE] [--misses FOLDER]

SAMPLES is a folder with `webcam_hands` (boxes), `handless`, `photos_3d` and `photos_digits`; what is not there is left out. Of `photos_3d`
every second photo is taken, alone, and pasted at a fifth and at a tenth of the width of a room of `handless` (1280 x 960, at a place drawn
by the photo's number); of `photos_digits` all are taken, and every second one is pasted. `scenes` are synthetic frames of one to eight
people, of a seed that no training uses.

`detector` is what our detector claims alone, `phalanx` what `Predictor` gives, which looks at every claim, as MediaPipe does. Found: the
middle of a hand (of its joints' box; of `detector` of its own) lies in the box of a true one, a hand once. Beside: the
other claims. Both look with their usual threshold; of the scenes the recall at one false hand a picture is printed, too, and of those of
the domain `field` how many of the claims with a confidence of 0.75 to 0.85 are hands.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from child import Child

from phalanx.data.frames import Frames, concatenate
from phalanx.data.images import image_bytes, read_photo
from phalanx.data.public.photos3d import read_photos3d
from phalanx.methods.detector import load
from phalanx.predict.detection import HandDetector, find_hands
from phalanx.predict.predictor import Predictor
from phalanx.predict.runtime import load_detector
from phalanx.synth.frames import FramesConfig, make_frames
from phalanx.train.detector_claims import claims_of, clear_hands, figures_of
from phalanx.view.samples import sheet, write_sheet

WORKER = Path(__file__).with_name("mediapipe_hands_worker.py")
HANDS = 16  # at most, of a picture
ROOM = (1280, 960)
SHARES = {"at a fifth": 5, "at a tenth": 10}
SCENES_SEED = 990_001

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Claim:
    """A hand that somebody found: its box x, y, width, height in pixels, and its side."""

    box: Box
    side: str


Finder = Callable[[np.ndarray], tuple[list[Claim], float]]
"""From a picture (H, W, 3) uint8 RGB to its hands, and milliseconds."""


@dataclass
class Tally:
    """What a finder found in a set."""

    hands: int = 0
    pictures: int = 0
    found: int = 0
    beside: int = 0
    right_side: int = 0
    ms: list[float] = field(default_factory=list)

    def line(self) -> str:
        """As the table has it."""
        side = f", side right {self.right_side}" if self.right_side else ""
        share = f" ({100 * self.found / self.hands:.1f} %)" if self.hands else ""
        return (
            f"{self.found} of {self.hands}{share}, beside {self.beside} in {self.pictures} pictures"
            f"{side}, {np.median(self.ms):.1f} ms"
        )


def detector_alone(weights: str | None) -> Finder:
    """What our detector claims."""
    detector = opened(weights)

    def find(image: np.ndarray) -> tuple[list[Claim], float]:
        start = time.perf_counter()
        found = find_hands(detector, image, HANDS)
        ms = 1000 * (time.perf_counter() - start)
        return [Claim(each.box, "right" if each.right > 0.5 else "left") for each in found], ms

    return find


def phalanx(weights: str | None) -> Finder:
    """What we predict, whose estimator has looked at every claim; as for MediaPipe, the box is that of the joints."""
    predictor = Predictor(detector=opened(weights))

    def find(image: np.ndarray) -> tuple[list[Claim], float]:
        start = time.perf_counter()
        found = predictor(image, max_hands=HANDS)
        ms = 1000 * (time.perf_counter() - start)
        return [Claim(around(hand.joints_2d), hand.side) for hand in found], ms

    return find


def opened(weights: str | None) -> HandDetector:
    """A detector from weights or a model."""
    return load(weights) if weights and Path(weights).suffix == ".safetensors" else load_detector(weights)


def around(joints: np.ndarray) -> Box:
    """The box of joints (21, 2)."""
    low, high = joints.min(0), joints.max(0)
    return (*low.tolist(), *(high - low).tolist())


def mediapipe(python: str) -> tuple[Finder, Child]:
    """MediaPipe in a child process."""
    child = Child([python, str(WORKER), str(HANDS)])

    def find(image: np.ndarray) -> tuple[list[Claim], float]:
        size = {"height": image.shape[0], "width": image.shape[1]}
        answer = child.ask(size, np.ascontiguousarray(image).tobytes())
        claims = []
        for hand in answer["hands"]:
            claims.append(Claim(around(np.array(hand["joints_2d"])), hand["side"]))
        return claims, answer["ms"]

    return find, child


Labelled = tuple[np.ndarray, list[Box], list[str]]
"""A picture, the boxes of its hands and, where they are known, their sides."""


def webcam(folder: Path) -> Iterator[Labelled]:
    """Webcam photos with boxes x0, y0, x1, y1."""
    boxes: dict[str, list[Box]] = {}
    with (folder / "boxes.csv").open() as file:
        for row in csv.reader(file):
            try:
                x0, y0, x1, y1 = (float(value) for value in row[2:6])
            except ValueError:
                continue  # the heading
            boxes.setdefault(row[0], []).append((x0, y0, x1 - x0, y1 - y0))
    for name, of_photo in sorted(boxes.items()):
        path = folder / name if (folder / name).exists() else next(folder.rglob(Path(name).name))
        yield read_photo(path)[0], of_photo, []


def handless(folder: Path, faces: bool) -> Iterator[Labelled]:
    """Pictures without hands: faces, or rooms."""
    for path in sorted(folder.glob("*")):
        if path.suffix.lower() in (".jpg", ".png") and path.name.startswith("face") == faces:
            yield read_photo(path)[0], [], []


def photos_3d(folder: Path) -> Iterator[Labelled]:
    """Every second photo with 3D joints; the box is that of the joints."""
    photos = read_photos3d(folder)
    for i in range(0, len(photos), 2):
        joints = photos.joints[i] @ photos.K[i].T
        pixels = joints[:, :2] / joints[:, 2:]
        yield photos.image(i), [around(pixels)], [photos.side]


def photos_digits(folder: Path) -> Iterator[Labelled]:
    """Every photo of one hand; the hand is anywhere in it."""
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in (".jpg", ".png"):
            image = read_photo(path)[0]
            yield image, [(0.0, 0.0, image.shape[1], image.shape[0])], []


def pasted(pictures: Iterator[Labelled], rooms: list[np.ndarray], share: int) -> Iterator[Labelled]:
    """Pictures at a share of the width of a room."""
    width = ROOM[0]
    for number, (image, boxes, sides) in enumerate(pictures):
        random = np.random.default_rng(number)
        scale = width / share / max(image.shape[:2])
        small = cv2.resize(
            image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        )
        room = rooms[number % len(rooms)].copy()
        x, y = (int(random.integers(0, room.shape[axis] - small.shape[axis] + 1)) for axis in (1, 0))
        room[y : y + small.shape[0], x : x + small.shape[1]] = small
        moved = [(x + scale * box[0], y + scale * box[1], scale * box[2], scale * box[3]) for box in boxes]
        yield room, moved, sides


def every_second(pictures: Iterator[Labelled]) -> Iterator[Labelled]:
    """The first, the third, ..."""
    for number, picture in enumerate(pictures):
        if number % 2 == 0:
            yield picture


def scenes(count: int, domain: str = "any") -> Iterator[Frames]:
    """Frames of one to eight people, 640 x 480."""
    config = FramesConfig(people=(1, 8), domain=domain, tiles=64, skins=8, chunk=4)
    for index in range(-(-count // config.chunk)):
        yield make_frames(config, SCENES_SEED, index)


def labelled(frames: Frames) -> Iterator[Labelled]:
    """The same with the hands that can be asked for."""
    wanted = clear_hands(frames)
    for i in range(len(frames)):
        image = image_bytes(frames.image[i])
        chosen = wanted[i].nonzero()[:, 0].tolist()
        boxes = [tuple(frames.boxes[i, n].tolist()) for n in chosen]
        yield image, boxes, ["right" if int(frames.side[i, n]) == 0 else "left" for n in chosen]


def count(tally: Tally, claims: list[Claim], ms: float, boxes: list[Box], sides: list[str]) -> bool:
    """Add a picture to a tally; whether all was found and nothing beside."""
    free = list(range(len(boxes)))
    beside = 0
    for claim in claims:
        x, y = claim.box[0] + claim.box[2] / 2, claim.box[1] + claim.box[3] / 2
        inside = [n for n in free if 0 <= x - boxes[n][0] <= boxes[n][2] and 0 <= y - boxes[n][1] <= boxes[n][3]]
        if not inside:
            beside += 1
            continue
        middles = {n: np.hypot(x - boxes[n][0] - boxes[n][2] / 2, y - boxes[n][1] - boxes[n][3] / 2) for n in inside}
        best = min(middles, key=lambda n: middles[n])
        free.remove(best)
        tally.right_side += bool(sides) and claim.side == sides[best]
    tally.hands += len(boxes)
    tally.pictures += 1
    tally.found += len(boxes) - len(free)
    tally.beside += beside
    tally.ms.append(ms)
    return not free and not beside


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("samples", type=Path)
    parser.add_argument("--mediapipe-python", metavar="PATH", help="Python of an environment with MediaPipe")
    parser.add_argument("--weights", help="of the detector (default: those in the package)")
    parser.add_argument("--scenes", type=int, default=150, help="synthetic frames; 0: none")
    parser.add_argument("--only", nargs="+", help="names of sets, of which a part is enough")
    parser.add_argument("--json", type=Path, help="write the figures")
    parser.add_argument(
        "--misses", type=Path, help="folder for pictures in which our detector missed something, or claimed too much"
    )
    arguments = parser.parse_args()
    finders = {"detector": detector_alone(arguments.weights), "phalanx": phalanx(arguments.weights)}
    child = None
    if arguments.mediapipe_python:
        finders["mediapipe"], child = mediapipe(arguments.mediapipe_python)
    samples: Path = arguments.samples
    rooms = [
        cv2.resize(image, ROOM, interpolation=cv2.INTER_AREA) for image, _, _ in handless(samples / "handless", False)
    ]
    sets: dict[str, Callable[[], Iterator[Labelled]]] = {
        "webcam_hands": lambda: webcam(samples / "webcam_hands"),
        "handless rooms": lambda: handless(samples / "handless", False),
        "handless faces": lambda: handless(samples / "handless", True),
        "photos_3d": lambda: photos_3d(samples / "photos_3d"),
        "photos_digits": lambda: photos_digits(samples / "photos_digits"),
    }
    if rooms:
        for name, share in SHARES.items():
            sets[f"photos_3d {name}"] = lambda share=share: pasted(photos_3d(samples / "photos_3d"), rooms, share)
            sets[f"photos_digits {name}"] = lambda share=share: pasted(
                every_second(photos_digits(samples / "photos_digits")), rooms, share
            )
    drawn: list[Frames] = []
    if arguments.scenes:
        sets["scenes"] = lambda: (row for frames in _kept(drawn, arguments.scenes) for row in labelled(frames))
    report: dict[str, dict[str, object]] = {}
    for name, pictures in sets.items():
        folder = samples / name.split()[0]
        if (arguments.only and not any(part in name for part in arguments.only)) or (
            name != "scenes" and not folder.is_dir()
        ):
            continue
        tallies = {finder: Tally() for finder in finders}
        wrong: list[np.ndarray] = []
        for image, boxes, sides in pictures():
            for finder, find in finders.items():
                claims, ms = find(image)
                if not count(tallies[finder], claims, ms, boxes, sides) and finder == "phalanx" and len(wrong) < 30:
                    wrong.append(_drawn(image, boxes, claims))
        for finder, tally in tallies.items():
            print(f"{name:24} {finder:10} {tally.line()}", flush=True)
        report[name] = {finder: {**vars(tally), "ms": float(np.median(tally.ms))} for finder, tally in tallies.items()}
        if arguments.misses and wrong:
            arguments.misses.mkdir(parents=True, exist_ok=True)
            write_sheet(arguments.misses / f"{name.replace(' ', '_')}.png", sheet(wrong, 6))
    if drawn:
        detector = opened(arguments.weights)
        own = figures_of(claims_of(detector, concatenate(drawn)))
        print("scenes, by confidence:", " ".join(f"{name} {value:.1f}" for name, value in own.items()))
        claims = claims_of(detector, concatenate(list(scenes(arguments.scenes, "field"))))
        near = claims.asked & (claims.score > 0.75) & (claims.score < 0.85)
        print(
            f"field, claims with a confidence of 0.75 to 0.85: {near.sum()}, of which hands {100 * claims.hit[near].mean():.1f} %"
        )
        report["scenes by confidence"] = {**own, "hands_of_claims_at_0.8": float(claims.hit[near].mean())}
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")
    if child:
        child.close()


def _kept(drawn: list[Frames], number: int) -> Iterator[Frames]:
    for frames in scenes(number):
        drawn.append(frames)
        yield frames


def _drawn(image: np.ndarray, boxes: list[Box], claims: list[Claim]) -> np.ndarray:
    """A picture 240 pixels high with true boxes in white and claimed ones in their sides' colours."""
    scale = 240 / image.shape[0]
    small = np.ascontiguousarray(cv2.resize(image, (320, 240), interpolation=cv2.INTER_AREA))
    across = 320 / image.shape[1]
    for box, colour in [(box, (255, 255, 255)) for box in boxes] + [
        (claim.box, (60, 220, 60) if claim.side == "right" else (60, 120, 255)) for claim in claims
    ]:
        low = (int(box[0] * across), int(box[1] * scale))
        high = (int((box[0] + box[2]) * across), int((box[1] + box[3]) * scale))
        cv2.rectangle(small, low, high, colour, 1)
    return small


if __name__ == "__main__":
    main()
