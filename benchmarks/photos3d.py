"""Phalanx and MediaPipe Hands on the same photos, in one run, with one table.

    python benchmarks/photos3d.py FOLDER --mediapipe-python PATH [--json FILE] [--save FILE.npz] [--worst FILE.png]

MediaPipe needs an older NumPy than Phalanx, so it runs as a child process in an environment of its own;
`benchmarks/README.md` says how to make one. Both get the same pixels, photo by photo in turns, so that anything else
that the machine does slows both; each measures its own time without the transfer between the processes.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from child import Child, ChildError

from phalanx.core.errors import InputError
from phalanx.data.public.photos3d import Photos3D, read_photos3d
from phalanx.evaluate.photos3d import JointFinder, TimedPredictor, both_ways, report_photos3d, show
from phalanx.evaluate.predictions import DefaultPredictor, FoundJoints
from phalanx.evaluate.steps import Steps

WORKER = Path(__file__).with_name("mediapipe_worker.py")


class MediaPipe:
    """MediaPipe Hands in a child process, as a `JointFinder`."""

    def __init__(self, python: str) -> None:
        try:
            self.child = Child([python, str(WORKER)])
        except ChildError as error:
            raise InputError(f"--mediapipe-python: {error}") from error
        self.version: str = self.child.greeting["version"]

    def __call__(self, image: np.ndarray, K: np.ndarray) -> FoundJoints:
        size = {"height": image.shape[0], "width": image.shape[1]}
        answer = self.child.ask(size, np.ascontiguousarray(image).tobytes())
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


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="photos with 3D joints (docs/evaluation.md)")
    parser.add_argument("--mediapipe-python", metavar="PATH", help="Python of an environment with MediaPipe")
    parser.add_argument("--only-mediapipe", action="store_true", help="leave Phalanx out, to check the metrics")
    parser.add_argument("--predictions", metavar="FILE", help="score a file that --save wrote, and predict nothing")
    parser.add_argument("--save", metavar="FILE", help="write the predictions as NPZ")
    parser.add_argument("--json", metavar="FILE", help="write the figures as JSON")
    parser.add_argument("--worst", metavar="FILE", help="PNG of the 20 worst photos of the first run")
    arguments = parser.parse_args()
    if arguments.only_mediapipe and not arguments.mediapipe_python:
        parser.error("--only-mediapipe needs --mediapipe-python")
    mediapipe = None
    try:
        photos = read_photos3d(arguments.folder)
        if arguments.mediapipe_python and not arguments.predictions:
            mediapipe = MediaPipe(arguments.mediapipe_python)
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
