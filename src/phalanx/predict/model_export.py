"""The networks of prediction for other runtimes: their ONNX files, what their inputs and outputs mean, and what their files say beside."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from phalanx import __version__
from phalanx.core.files import writable_folder, write_json, write_whole
from phalanx.fit.evidence import DEPTH_ROOT
from phalanx.hand.skeleton import BONES, JOINT_NAMES
from phalanx.nets.detector_maps import CHANNELS, LARGEST, STRIDE, UNIT
from phalanx.nets.detector_maps import METHOD as DETECTOR
from phalanx.nets.model_files import read_model
from phalanx.predict.detection import MULTIPLE, SIDES
from phalanx.predict.looks import CROP_FACTOR
from phalanx.predict.runtime import ESTIMATOR, load_detector, load_estimator, shipped_model

SCHEMA = "phalanx.models/1"


def export_models(
    out: str | os.PathLike[str],
    weights: str | os.PathLike[str] | None = None,
    precision: Literal["as it is", "float16", "float32"] = "as it is",
) -> list[Path]:
    """Write `detector.onnx`, `estimator.onnx`, `models.json` and `README.md` into the folder `out`; returns their paths.

    Args:
        out: is made if it is not there.
        weights: an estimator's ONNX file, such as one of `phalanx adapt`, or with another precision its safetensors; None: those in the
            package.
        precision: of the estimator. Other than as it is, it is made from safetensors, for which PyTorch is needed.

    Raises:
        InputError: the folder cannot be written, or `weights` are none of an estimator of the open hand.
    """
    source = shipped_model(ESTIMATOR) if weights is None else Path(weights)
    if precision == "as it is":
        load_estimator(source)  # complains about what is none, before a folder is made
    folder = writable_folder(out)
    paths = [folder / name for name in ("detector.onnx", "estimator.onnx", "models.json", "README.md")]
    if precision == "as it is":
        _copy(source, paths[1])
    else:
        from phalanx.hand.model import HandModel
        from phalanx.methods.compact import export, load_trainable

        hand = HandModel.open_hand()
        export(load_trainable(None if weights is None else Path(weights), hand), paths[1], hand, precision)
    _copy(shipped_model(DETECTOR), paths[0])
    estimator, detector = load_estimator(paths[1]), load_detector(paths[0])
    channels, first = {}, 0
    for name, count in CHANNELS.items():
        channels[name] = list(range(first, first + count))
        first += count
    write_json(
        paths[2],
        {
            "schema": SCHEMA,
            "phalanx": __version__,
            "detector": {
                "file": paths[0].name,
                "precision": detector.session.about["precision"],
                "sides": list(SIDES),
                "multiple": MULTIPLE,
                "stride": STRIDE,
                "unit": UNIT,
                "largest": LARGEST,
                "calibration": list(detector.config.calibration),
                "channels": channels,
            },
            "estimator": {
                "file": paths[1].name,
                "precision": estimator.session.about["precision"],
                "size": estimator.config.size,
                "closer": CROP_FACTOR,
                "depth_root": DEPTH_ROOT,
                "outputs": list(estimator.session.outputs),
            },
            "joints": list(JOINT_NAMES),
            "bones": [list(bone) for bone in BONES],
        },
    )
    with write_whole(paths[3]) as part:
        part.write_bytes(shipped_model(ESTIMATOR).with_name("onnx.md").read_bytes())
    return paths


def _copy(source: Path, path: Path) -> None:
    with write_whole(path) as part:
        part.write_bytes(read_model(source))
