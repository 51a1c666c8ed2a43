"""The NYU hand pose set as rows of a table take it: frames of three views in cubes, and the 14 points that publications evaluate.

- **Frames** are spread evenly over a split; all three views of a frame belong together. Every view is tested by itself.
- **Cameras**: each view's motion to the first is the one that brings its labels there, frame by frame; Wan et al. 2019, Sec. 4: "We
  apply the ground-truth annotation only to calculate camera extrinsics".
- **Cubes** are cut where a detector would put them (`train.cubes.loose_middles`), as those of synthetic frames are.
- **Joints**: our 21 as the reader takes them out of the set's 36; the 14 are the set's own, beside `evaluate.nyu.joints_14` of estimates.
"""

from __future__ import annotations

from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from phalanx.core.parallel import ordered
from phalanx.core.seeding import generator
from phalanx.data.cube_views import cube_views
from phalanx.data.public.nyu import NYU, VIEWS
from phalanx.data.sample import concatenate
from phalanx.geometry.alignment import rigid_alignment
from phalanx.train.cubes import loose_middles

SEED = 2014
"""Of where cubes are cut."""


def nyu_cubes(folder: str | Path, split: str, frames: int, size: int, workers: int = 0) -> dict[str, Tensor]:
    """Up to `frames` frames of a split, all of them where there are fewer: fields of `CubeViews`, and `points (F, 3, 14, 3)`, metres, cube
    frame.

    Raises:
        InputError: the folder is not the whole set, or a file is at fault; see `data.public.nyu.NYU`.
    """
    dataset = NYU(folder, split)
    count = len(dataset) // VIEWS
    chosen = np.unique(np.linspace(0, count - 1, min(frames, count)).round().astype(int))
    with closing(ordered(partial(_frame, dataset, chosen, size), workers, 0, len(chosen))) as cut:
        parts = list(cut)
    return {name: torch.from_numpy(np.stack([part[name] for part in parts])) for name in parts[0]}


def _frame(dataset: NYU, chosen: np.ndarray, size: int, number: int) -> dict[str, np.ndarray]:
    """A frame's fields, of frame `chosen[number]`; maps in half precision."""
    count, frame = len(dataset) // VIEWS, int(chosen[number])
    places = [view * count + frame for view in range(VIEWS)]
    sample = concatenate([dataset[place] for place in places])
    assert sample.joints is not None
    joints = sample.joints.double()
    sample.world_to_camera = torch.eye(4).repeat(VIEWS, 1, 1)  # the world is the first view's camera frame
    rotation, translation = rigid_alignment(joints[:1].expand_as(joints), joints)
    sample.world_to_camera[:, :3, :3], sample.world_to_camera[:, :3, 3] = rotation, translation
    middles = loose_middles(sample, generator(SEED, frame))
    cut = cube_views(sample, VIEWS, size, middles)
    points = torch.stack([dataset.joints_14(place) for place in places]) - middles[:, None]
    fields = {**vars(cut), "maps": cut.maps.half(), "points": points[None]}
    return {name: value[0].numpy() for name, value in fields.items()}
