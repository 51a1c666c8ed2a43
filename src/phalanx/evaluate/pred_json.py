"""Predictions in the form of FreiHAND's and HO-3D's challenges, `pred.json`: `[joints, vertices]`, a list with an entry a picture each."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from phalanx.core.errors import InputError
from phalanx.core.files import read_json
from phalanx.data.labels import stacked
from phalanx.evaluate.predictions import JointPredictions


def read_pred_json(path: Path, pictures: int, numbers: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Joints (N, 21, 3) and vertices (N, V, 3) float32 of the pictures `numbers`, as they stand in the file.

    Args:
        path: of the file.
        pictures: how many entries both lists must have.
        numbers: of the N entries that are wanted.

    Raises:
        InputError: names the file and the entry: not JSON, not two lists of `pictures` entries, not finite numbers of these shapes.
    """
    contents = read_json(path)
    if not isinstance(contents, list) or len(contents) != 2 or not all(isinstance(part, list) for part in contents):
        raise InputError(f"{path}: is not [joints, vertices], two lists with an entry for each picture")
    for what, part in zip(("joints", "vertices"), contents, strict=True):
        if len(part) != pictures:
            raise InputError(f"{path}: {what} of {pictures} pictures expected, has {len(part)}")
    joints, vertices = ([part[number] for number in numbers] for part in contents)
    size = len(vertices[0]) if isinstance(vertices[0], list) else 0
    names = [[f"{path}: {what} of picture {number}" for number in numbers] for what in ("joints", "vertices")]
    return stacked(joints, (21, 3), names[0]), stacked(vertices, (size, 3), names[1], np.float32)


def pred_json_run(path: Path, joints: np.ndarray, vertices: np.ndarray) -> dict[str, JointPredictions]:
    """The one run of such a file, named after it: joints and vertices are in our axes and order, none is missed, none has pixels."""
    count = len(joints)
    return {path.stem: JointPredictions(np.zeros((count, 21, 2)), joints, np.zeros(count), vertices)}
