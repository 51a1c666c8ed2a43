import os

import numpy as np
import pytest
import torch

from phalanx.core.errors import InputError
from phalanx.data.sample import Sample
from phalanx.data.shards import save_chunks


def chunks():
    number = 0
    while True:
        image = torch.full((2, 3, 16, 24), number / 255) + torch.tensor([0.0, 0.2, 0.4])[:, None, None]
        yield Sample(image=image, joints=torch.full((2, 21, 3), float(number)), K=torch.eye(3).expand(2, 3, 3))
        number += 1


def test_chunks_are_numbered_and_whole(tmp_path):
    paths = save_chunks(chunks(), tmp_path / "out", 5, 3)
    assert [p.name for p in paths] == ["chunk_000005.npz", "chunk_000006.npz", "chunk_000007.npz"]
    assert sorted(os.listdir(tmp_path / "out")) == [p.name for p in paths]
    with np.load(paths[2]) as file:
        data = {name: file[name] for name in file.files}
    assert set(data) == {"image", "joints", "K"}
    assert data["image"].shape == (2, 16, 24, 3) and data["image"].dtype == np.uint8
    np.testing.assert_array_equal(data["image"][1, 3, 4], [2, 53, 104])
    assert (data["joints"] == 2).all()


def test_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        save_chunks(chunks(), tmp_path / "file", 0, 1)
