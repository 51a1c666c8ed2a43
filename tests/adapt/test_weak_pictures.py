"""Hands cut out of a user's pictures: where joints, depth and 3D labels come to lie, and what is left out and why."""

import json
import re
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from torch import nn
from weak_folder import FOCAL, change_labels, hands, write_folder

from phalanx.adapt.weak_crops import TILE
from phalanx.adapt.weak_files import WeakFiles
from phalanx.adapt.weak_pictures import likeliest_length, nominal_crops, read_weak_pictures, root_depths
from phalanx.core.errors import InputError
from phalanx.fit.evidence import DEPTH_ROOT
from phalanx.methods.compact import targets


class Known(nn.Module):
    """An estimator that says the same of every crop."""

    def __init__(self, joints):
        super().__init__()
        self.nothing = nn.Parameter(torch.zeros(1))
        self.joints, self.config = torch.as_tensor(joints).float(), SimpleNamespace(size=64)

    def forward(self, images):
        return SimpleNamespace(joints_2d=self.joints.expand(len(images), 21, 2))


@pytest.fixture(scope="module")
def sample():
    return hands()


@pytest.fixture
def folder(tmp_path, sample):
    write_folder(tmp_path / "data", sample)
    return tmp_path / "data"


def read(folder, said=None, estimator=None, **files):
    estimator = Known(np.full((21, 2), 0.5)) if estimator is None else estimator
    return read_weak_pictures(WeakFiles(folder, **files), estimator, (said if said is not None else []).append)


def test_joints_lie_in_their_tiles(tmp_path, sample):
    points = write_folder(tmp_path / "data", sample)
    for row, pixels in enumerate(points):
        path = str(tmp_path / "data" / "images" / f"{row}.png")
        marked = np.zeros_like(cv2.imread(path))
        cv2.circle(marked, pixels[8].round().astype(int).tolist(), 3, (255, 255, 255), -1)
        cv2.imwrite(path, marked)
    found = read(tmp_path / "data").hands
    for tile, joints in zip(found.tiles, found.joints, strict=True):
        if (joints[8] > 0).all() and (joints[8] < 1).all() and tile.max() > 200:
            y, x = np.argwhere(tile[..., 0] > tile.max() / 2).mean(0)
            assert np.hypot(*((joints[8] * TILE - 0.5) - (x, y))) < 0.03 * TILE
        knuckles = joints[[5, 9, 13, 17]].mean(0) - joints[0]
        assert abs(knuckles[0]) < 1e-6 and knuckles[1] < 0  # it points up
        assert 0.45 < np.ptp(joints, axis=0).max() < 0.55


def test_left_hands_are_mirrored(tmp_path, sample):
    write_folder(tmp_path / "right", sample)
    right = read(tmp_path / "right").hands
    left = read(tmp_path / "right", side="left", labels=[_without_side(tmp_path / "right")])
    assert left.counts["left hands"] == len(sample)
    np.testing.assert_array_equal(left.hands.tiles, right.tiles[:, :, ::-1])
    np.testing.assert_allclose(left.hands.joints[..., 0], 1 - right.joints[..., 0])
    np.testing.assert_array_equal(left.hands.depth, right.depth[:, :, ::-1])


def _without_side(folder):
    data = json.loads((folder / "labels.json").read_text())
    for entry in data["annotations"]:
        del entry["hand_type"]
    path = folder.parent / "sideless.json"
    path.write_text(json.dumps(data))
    return path


def test_the_side_is_the_one_as_which_joints_are_seen_better(folder, sample):
    plain = read(folder).hands
    crops = nominal_crops(plain, 64)
    first = (crops.joints_2d[0] + 0.5) / 64
    path = _without_side(folder)
    found = read(folder, labels=[path], estimator=Known(first))
    assert found.counts["hands whose side was guessed"] == len(sample)
    np.testing.assert_array_equal(found.hands.tiles[0], plain.tiles[0])
    flipped = read(folder, labels=[path], estimator=Known(first * torch.tensor([-1, 1]) + torch.tensor([1, 0])))
    np.testing.assert_array_equal(flipped.hands.tiles[0], plain.tiles[0][:, ::-1])


def test_depth_at_the_root(folder, sample):
    found = read(folder)
    deep = found.hands.with_depth
    assert deep.sum() >= 4 and found.sources == {"focal": "camera", "hand_length": "prior"}
    assert found.counts["hands with depth"] == deep.sum() == len(sample) - sum(found.left_out.values())
    true = sample.joints[:, DEPTH_ROOT, 2].numpy()
    assert np.abs(found.hands.root_depth - true)[deep].max() < 0.06
    spans = np.ptp(found.hands.joints, axis=1).max(1) * found.hands.width
    assert (spans[deep] > 0.04).all() and (spans[deep] < 0.25).all()  # metres of a hand
    alone = found.hands.depth[deep]
    assert ((alone == 0) | (np.abs(alone - found.hands.root_depth[deep, None, None]) < 0.25)).all()
    assert (found.hands.depth[~deep] == 0).all()


def test_without_a_camera_the_focal_length_comes_from_the_hand(folder):
    (folder / "intrinsics.json").unlink()
    one = read(folder, unit=0.00025, hand_length=0.19)
    assert one.sources == {"focal": "hand length (given)", "hand_length": "given"}
    other = read(folder, unit=0.00025, hand_length=0.095)
    both = one.hands.with_depth & other.hands.with_depth
    np.testing.assert_allclose(other.hands.width[both], one.hands.width[both] / 2, rtol=1e-6)
    assert 0.15 < likeliest_length() < 0.22
    assert read(folder, unit=0.00025).sources["hand_length"] == "prior"


def test_3d_labels_are_depths_of_the_network(tmp_path, sample):
    write_folder(tmp_path / "data", sample, with_3d=True)
    found = read(tmp_path / "data")
    assert found.counts["hands with 3D joints"] == len(sample)
    whole = targets(sample).depth.numpy()  # in shares of the whole picture
    whole[:, DEPTH_ROOT] = np.nan
    ratio = found.hands.relative / whole
    assert np.nanstd(ratio, axis=1).max() < 1e-3 * np.nanmean(ratio)  # one factor a hand: picture over tile
    (tmp_path / "data" / "intrinsics.json").unlink()
    loose = read(tmp_path / "data", unit=0.00025).hands.relative
    np.testing.assert_allclose(loose, found.hands.relative, atol=0.06)


@pytest.mark.parametrize(
    ("unit", "says"),
    [
        (1.0, r"unit is wrong"),
        (0.0025, r"(unit is wrong|would look [\d.]+ m long at [\d.]+ m; is the unit of depth right)"),
    ],
)
def test_a_wrong_unit_is_named_and_the_picture_still_counts(folder, sample, unit, says):
    (folder / "intrinsics.json").write_text(json.dumps({"K": [FOCAL, FOCAL, 0, 0], "depth_unit": unit}))
    said = []
    found = read(folder, said)
    assert found.counts["hands"] == len(sample) and found.counts["hands with depth"] < 2
    assert said and all("depth/" in sentence and re.search(says, sentence) for sentence in said)


@pytest.mark.parametrize(
    ("camera", "unit", "says"),
    [
        (True, 0.00005, r"by it and the camera the hands are hardly longer than 0\.0\d+ m; is the unit"),
        (False, 0.000005, r"the camera would have a focal length of \d+ pixels, and pictures have \d+; is the unit"),
        (False, 0.0014, r"the camera would have a focal length of \d+ pixels, and pictures have \d+; is the unit"),
    ],
)
def test_a_wrong_unit_that_each_hand_may_have_shows_in_all_of_them(folder, sample, camera, unit, says):
    if unit < 0.0001 and not camera:  # whole pictures; those of the folder are cut out
        for path in folder.glob("*/*.png"):
            picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
            below, beside = (400 - side for side in picture.shape[:2])
            factor = 8 if "depth" in path.parts else 1  # so that hands are not nearer than any can be
            cv2.imwrite(str(path), cv2.copyMakeBorder(factor * picture, 0, below, 0, beside, cv2.BORDER_CONSTANT))
        change_labels(folder, lambda data: [image.update(width=400, height=400) for image in data["images"]])
    elif not camera:
        for path in (folder / "depth").iterdir():  # nor farther
            cv2.imwrite(str(path), cv2.imread(str(path), cv2.IMREAD_UNCHANGED) // 2)
    intrinsics = folder / "intrinsics.json"
    if camera:
        intrinsics.write_text(json.dumps({"K": [FOCAL, FOCAL, 0, 0], "depth_unit": unit}))
    else:
        intrinsics.unlink()
    said = []
    found = read(folder, said, unit=unit)
    assert found.counts["hands with depth"] == 0 and found.counts["hands"] == len(sample)
    assert sum(found.left_out.values()) == len(sample)
    assert re.search(says, said[-1]) and f"{folder}/depth/" in said[-1] and "more hands: by it" in said[-1]


def test_whole_numbers_need_a_unit_and_that_is_said_once(folder, sample):
    (folder / "intrinsics.json").unlink()
    said = []
    found = read(folder, said)
    assert len(said) == 1 and said[0].endswith(
        "holds whole numbers, and their unit is not given: --unit, --camera, or an intrinsics.json"
    )
    assert found.left_out == {"the unit of depth is not given": len(sample)} and len(found.skipped) == len(sample)


def test_a_camera_may_be_named(folder):
    given = read(folder, camera=f"{FOCAL},{FOCAL},0,0", unit=0.00025).hands
    np.testing.assert_allclose(given.width, read(folder).hands.width)
    assert read(folder, camera="sr305", unit=0.00025).sources["focal"] == "camera"
    with pytest.raises(InputError, match=r"camera: 'webcam' is neither one of"):
        read(folder, camera="webcam")
    with pytest.raises(InputError, match=r"unit: must be positive, not nan"):
        read(folder, unit=float("nan"))


def test_pairs_of_different_sizes_are_named(folder, sample):
    path = folder / "depth" / "3.png"
    cv2.imwrite(str(path), cv2.imread(str(path), cv2.IMREAD_UNCHANGED)[:-4])
    said = []
    found = read(folder, said)
    assert len(said) == 1 and said[0].startswith(f"{path}: has ") and "its picture 3.png" in said[0]
    assert found.counts["hands"] == len(sample) and found.left_out["the depth cannot be used"] == 1


def test_what_is_left_out_is_counted(folder, sample):
    def change(data):
        for entry, joint in zip(data["annotations"][:2], (DEPTH_ROOT, 4), strict=True):
            entry["keypoints"][3 * joint + 2] = 0
        data["annotations"][2]["keypoints"][12:] = [0] * 51  # four joints
        data["images"][3]["width"] += 1
        data["annotations"].pop(5)
        data["annotations"].pop(4)

    change_labels(folder, change)
    (folder / "depth" / "5.png").unlink()
    (folder / "depth" / "lonely.png").write_bytes((folder / "depth" / "0.png").read_bytes())
    (folder / "images" / "6.png").write_bytes(b"no picture")
    said = []
    found = read(folder, said)
    assert found.counts["hands"] == 3 and found.counts["pictures"] == len(sample)
    assert (found.counts["pictures with nothing"], found.counts["pictures with depth and no joints"]) == (1, 1)
    assert found.left_out["the middle knuckle, which depths are relative to, is not labelled"] == 1
    assert np.isnan(found.hands.joints[0, DEPTH_ROOT]).all() and np.isnan(found.hands.joints[1, 4]).all()
    texts = ["has 4 labelled joints, too few", "is for a picture of", "6.png: ", "lonely.png: belongs to no picture"]
    assert len(said) == len(texts) and all(any(text in sentence for sentence in said) for text in texts)
    assert all(": line " in sentence for sentence in said[:2])


def test_nothing_that_can_be_used(folder):
    for path in (folder / "images").iterdir():
        path.write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"data: none of its 8 pictures has 2D joints that can be used"):
        read(folder)
    with pytest.raises(InputError, match=r"nowhere: no such folder"):
        read(folder / "nowhere")
    with pytest.raises(InputError, match=r"hand_length: must lie between"):
        read(folder, hand_length=3.0)


def test_roots_that_something_hides():
    depth = torch.full((3, 40, 40), 0.6)
    joints = torch.full((3, 21, 2), 20.0) + torch.randn(3, 21, 2, generator=torch.Generator().manual_seed(0))
    depth[1, 15:26, 15:26] = 0  # no reading
    joints[2, DEPTH_ROOT] = 35.0
    depth[2, 30:, 30:] = 0.9  # something far behind
    torch.testing.assert_close(root_depths(depth, joints), torch.tensor([0.6, 0.0, 0.0]))
