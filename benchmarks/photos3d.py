"""Phalanx and MediaPipe Hands on the same photos, in one run, with one table.

    python benchmarks/photos3d.py FOLDER --mediapipe-python PATH [--json FILE] [--save FILE.npz] [--worst FILE.png]

MediaPipe wants an older NumPy than Phalanx's, so it lives in an environment of its own and is started there as a child
process; `benchmarks/README.md` says how to make one. Both get the same pixels, photo by photo in turns, so that
whatever else the machine does slows both; each measures its own time without the way between the processes.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from child import Child, ChildError

from phalanx.core.errors import InputError
from phalanx.data.public.photos3d import read_photos3d
from phalanx.evaluate.photos3d import (
    FOCAL_GIVEN,
    FOCAL_NOT_GIVEN,
    Estimate,
    Estimator,
    estimator,
    predict_photos3d,
    report_photos3d,
)
from phalanx.evaluate.predictions import JointPredictions, load_predictions, save_predictions

WORKER = Path(__file__).with_name("mediapipe_worker.py")


class MediaPipe:
    """MediaPipe Hands in a child process, called like any other estimator of `predict_photos3d`."""

    def __init__(self, python: str) -> None:
        try:
            self.child = Child([python, str(WORKER)])
        except ChildError as error:
            raise InputError(f"--mediapipe-python: {error}") from error
        self.version: str = self.child.greeting["version"]

    def __call__(self, image: np.ndarray, K: np.ndarray) -> Estimate:
        size = {"height": image.shape[0], "width": image.shape[1]}
        answer = self.child.ask(size, np.ascontiguousarray(image).tobytes())
        if answer["joints"] is None:
            return Estimate(None, None, answer["ms"])
        return Estimate(np.array(answer["joints_2d"]), np.array(answer["joints"]), answer["ms"])

    def close(self) -> None:
        """End the child process."""
        self.child.close()


def predict(folder: str, mediapipe_python: str | None, with_phalanx: bool) -> dict[str, JointPredictions]:
    photos = read_photos3d(folder)
    estimators: dict[str, Estimator] = {}
    mediapipe = MediaPipe(mediapipe_python) if mediapipe_python else None
    try:
        if with_phalanx:
            from phalanx.evaluate.predictions import DefaultPredictor

            predictor = DefaultPredictor()
            for name, known_focal in ((FOCAL_GIVEN, True), (FOCAL_NOT_GIVEN, False)):
                estimators[f"phalanx_{name}"] = estimator(predictor, photos.side, known_focal)
        if mediapipe:
            print(f"MediaPipe {mediapipe.version}: Hands, static mode, full model")
            estimators["mediapipe"] = mediapipe
        return predict_photos3d(photos, estimators)
    finally:
        if mediapipe:
            mediapipe.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="photos with 3D joints (docs/evaluation.md)")
    parser.add_argument("--mediapipe-python", metavar="PATH", help="Python of an environment with MediaPipe")
    parser.add_argument("--only-mediapipe", action="store_true", help="leave Phalanx out, to check the metrics")
    parser.add_argument("--predictions", metavar="FILE", help="score what --save wrote, predict nothing")
    parser.add_argument("--save", metavar="FILE", help="write the predictions as NPZ")
    parser.add_argument("--json", metavar="FILE", help="write the figures as JSON")
    parser.add_argument("--worst", metavar="FILE", help="PNG of the 20 worst photos of the first estimator")
    arguments = parser.parse_args()
    if arguments.only_mediapipe and not arguments.mediapipe_python:
        parser.error("--only-mediapipe needs --mediapipe-python")
    try:
        photos = read_photos3d(arguments.folder)
        if arguments.predictions:
            runs = load_predictions(arguments.predictions, photos.image_paths)
        else:
            runs = predict(arguments.folder, arguments.mediapipe_python, not arguments.only_mediapipe)
        if arguments.save:
            save_predictions(arguments.save, photos.image_paths, runs)
        report_photos3d(photos, runs, json_path=arguments.json, worst=arguments.worst)
    except InputError as error:
        print(f"photos3d: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
