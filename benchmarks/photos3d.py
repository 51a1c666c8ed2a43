"""Phalanx and MediaPipe Hands on the same photos, in one run, with one table.

    python benchmarks/photos3d.py FOLDER --mediapipe-python PATH [--json FILE] [--save FILE.npz] [--worst FILE.png]
    python benchmarks/photos3d.py FOLDER --mediapipe-python PATH --times 100 [--busy 1] [--json FILE]

MediaPipe needs an older NumPy than Phalanx, so it runs as a child process in an environment of its own;
`benchmarks/README.md` says how to make one. Both get the same pixels, photo by photo in turns, so that anything else
that the machine does slows both; each measures its own time without the transfer between the processes. `--times` scores nothing: it
shows what a photo costs if nothing is told, idle and beside processes that never wait, and where the time goes.
"""

import argparse
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from child import Child, ChildError

from phalanx.core.errors import InputError
from phalanx.core.files import write_json
from phalanx.data.public.photos3d import Photos3D, read_photos3d
from phalanx.evaluate.photos3d import JointFinder, TimedPredictor, both_ways, report_photos3d, show
from phalanx.evaluate.predictions import DefaultPredictor, FoundJoints
from phalanx.evaluate.steps import Steps
from phalanx.fit.evidence import Evidence
from phalanx.fit.joints import fit_evidence
from phalanx.hand.plain import PlainHand
from phalanx.hand.pose import HandPose, HandSurface
from phalanx.predict.predictor import Predictor

WORKER = Path(__file__).with_name("mediapipe_worker.py")


class MediaPipe:
    """MediaPipe Hands in a child process, as a `JointFinder`."""

    def __init__(self, python: str) -> None:
        try:
            self.child = Child([python, str(WORKER)])
        except ChildError as error:
            raise InputError(f"--mediapipe-python: {error}") from error
        self.version: str = self.child.greeting["version"]

    def ask(self, image: np.ndarray) -> dict[str, Any]:
        """What the child says of a picture: joints, and milliseconds of clock and of processor."""
        size = {"height": image.shape[0], "width": image.shape[1]}
        return self.child.ask(size, np.ascontiguousarray(image).tobytes())

    def __call__(self, image: np.ndarray, K: np.ndarray) -> FoundJoints:
        answer = self.ask(image)
        if answer["joints"] is None:
            return FoundJoints(None, None, answer["ms"])
        return FoundJoints(np.array(answer["joints_2d"]), np.array(answer["joints"]), answer["ms"])

    def close(self) -> None:
        """End the child process."""
        self.child.close()


def finders(photos: Photos3D, mediapipe: MediaPipe | None, with_phalanx: bool) -> dict[str, JointFinder]:
    """What is to find hands, by name of its run."""
    found: dict[str, JointFinder] = {}
    if with_phalanx:
        predictor = DefaultPredictor()
        found |= {f"phalanx_{name}": finder for name, finder in both_ways(predictor, photos.side).items()}
        found["phalanx_nothing_given"] = TimedPredictor(predictor, "auto", known_focal=False)
    if mediapipe:
        print(f"MediaPipe {mediapipe.version}: Hands, static mode, full model")
        found["mediapipe"] = mediapipe
    return found


class Stages:
    """Milliseconds of processor, all threads together, of the parts of the last call of a predictor that is made with them."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}
        self.predictor = Predictor(fit=self._timed("fit", fit_evidence))
        self.config, self.look = self.predictor.estimator.config, self.predictor.estimator.evidence
        self.predictor.estimator = self
        plain = PlainHand.open_hand()
        posed = self._timed("mesh", plain)

        class Timed(PlainHand):
            def __call__(self, pose: HandPose) -> HandSurface:
                return posed(pose)

        self.predictor.hand = Timed(**{name: getattr(plain, name) for name in PlainHand.__dataclass_fields__})
        detector = self.predictor.load_detector()
        detector.maps = self._timed("detector", detector.maps)

    def evidence(self, batch: Any) -> Evidence:
        """The estimator's, timed."""
        self.spent["crops"] = self.spent.get("crops", 0.0) + len(batch)
        return self._timed("network", self.look)(batch)

    def _timed(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any) -> Any:
            start = time.process_time()
            result = call(*arguments)
            self._add(name, time.process_time() - start)
            return result

        return timed

    def _add(self, name: str, seconds: float) -> None:
        self.spent[name] = self.spent.get(name, 0.0) + 1e3 * seconds

    def __call__(self, image: np.ndarray, **options: Any) -> dict[str, float]:
        """Predict, with everything else as "rest"."""
        self.spent = {}
        start, cpu = time.perf_counter(), time.process_time()
        self.predictor(image, **options)
        whole = {"ms": 1e3 * (time.perf_counter() - start), "cpu_ms": 1e3 * (time.process_time() - cpu)}
        known = sum(self.spent.get(name, 0.0) for name in ("detector", "network", "fit", "mesh"))
        return {**whole, **self.spent, "rest": whole["cpu_ms"] - known}


def _never_wait() -> None:
    while True:
        pass


@contextmanager
def busy(count: int) -> Iterator[None]:
    """Beside `count` processes that never wait."""
    others = [multiprocessing.get_context("spawn").Process(target=_never_wait, daemon=True) for _ in range(count)]
    with ExitStack() as stack:
        for other in others:
            other.start()
            stack.callback(other.kill)
        yield


def show_times(photos: Photos3D, mediapipe: MediaPipe | None, count: int, ways: dict[str, dict[str, Any]]) -> Any:
    """Times of the first `count` photos in turns, after one that is not counted; a line for each way, which has options of a call."""
    stages = Stages()
    rows: dict[str, list[dict[str, float]]] = {}
    for index in range(min(count, len(photos)) + 1):
        image = photos.image(max(index - 1, 0))
        answers = {name: stages(image, **options) for name, options in ways.items()}
        if mediapipe:
            answers["mediapipe"] = mediapipe.ask(image)
        for name, answer in answers.items():
            rows.setdefault(name, [])
            if index:
                rows[name].append(answer)
    table: dict[str, dict[str, float]] = {}
    for name, answers_of in rows.items():
        parts = [
            part
            for part in ("detector", "network", "fit", "mesh", "rest", "crops")
            if any(part in each for each in answers_of)
        ]
        table[name] = {
            "median ms": float(np.median([each["ms"] for each in answers_of])),
            "mean ms": float(np.mean([each["ms"] for each in answers_of])),
            "median cpu ms": float(np.median([each["cpu_ms"] for each in answers_of])),
            "mean cpu ms": float(np.mean([each["cpu_ms"] for each in answers_of])),
            **{part: float(np.mean([each.get(part, 0.0) for each in answers_of])) for part in parts},
        }
        print(f"{name:24s}" + "  ".join(f"{key} {value:.1f}" for key, value in table[name].items()))
    return table


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="photos with 3D joints (docs/evaluation.md)")
    parser.add_argument("--mediapipe-python", metavar="PATH", help="Python of an environment with MediaPipe")
    parser.add_argument("--only-mediapipe", action="store_true", help="leave Phalanx out, to check the metrics")
    parser.add_argument("--predictions", metavar="FILE", help="score a file that --save wrote, and predict nothing")
    parser.add_argument("--save", metavar="FILE", help="write the predictions as NPZ")
    parser.add_argument("--json", metavar="FILE", help="write the figures as JSON")
    parser.add_argument("--worst", metavar="FILE", help="PNG of the 20 worst photos of the first run")
    parser.add_argument("--times", type=int, metavar="N", help="show what the first N photos cost, and score nothing")
    parser.add_argument("--detector", action="store_true", help="with --times, also let the detector find the hand")
    parser.add_argument("--busy", type=int, default=0, metavar="N", help="with --times, beside N busy processes")
    arguments = parser.parse_args()
    if arguments.only_mediapipe and not arguments.mediapipe_python:
        parser.error("--only-mediapipe needs --mediapipe-python")
    mediapipe = None
    try:
        photos = read_photos3d(arguments.folder)
        if arguments.mediapipe_python and not arguments.predictions:
            mediapipe = MediaPipe(arguments.mediapipe_python)
        if arguments.times:
            ways: dict[str, dict[str, Any]] = {"phalanx_whole_photo": {"box": "whole"}}
            if arguments.detector:
                ways["phalanx_nothing_told"] = {}
            with busy(arguments.busy):
                table = show_times(photos, mediapipe, arguments.times, ways)
            if arguments.json:
                write_json(arguments.json, table, indent=1)
            return 0
        steps = Steps(predictions=arguments.predictions, save=arguments.save, json_path=arguments.json)
        show(
            report_photos3d(
                photos, steps, lambda: finders(photos, mediapipe, not arguments.only_mediapipe), arguments.worst
            )
        )
    except InputError as error:
        print(f"photos3d: {error}", file=sys.stderr)
        return 2
    finally:
        if mediapipe:
            mediapipe.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
