"""What the detector learns from: windows with hands where they are, claims matched to hands, confidences calibrated, and a run."""

import json
import math
from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from phalanx.core.errors import InputError
from phalanx.data.frames import Frames
from phalanx.geometry.crops import SquareBox
from phalanx.hand.model import HandModel
from phalanx.methods.detector import Detector, DetectorConfig, load
from phalanx.predict.detection import Detection
from phalanx.predict.looks import box_around_joints
from phalanx.synth import SynthConfig, make_chunk
from phalanx.synth.frames import FramesConfig, make_frames
from phalanx.train import detector_claims, detector_windows
from phalanx.train.detector import DetectorTraining, run
from phalanx.train.detector_claims import calibration_of, claims_of, clear_hands, figures
from phalanx.train.detector_windows import (
    finish_crops,
    finish_frames,
    kept_of_crops,
    kept_of_frames,
    labelled_photographs,
    palms,
)
from phalanx.train.plan import LoopConfig, Phase

SYNTH = SynthConfig(size=128, chunk=4, tiles=4, skins=2)
FRAMES = FramesConfig(width=192, height=144, chunk=2, people=(1, 2), tiles=4, skins=2)
SMALL = DetectorConfig(widths=(8, 12, 12, 12), depths=(0, 1, 1, 1), top_down=(12, 12, 12))


@pytest.fixture(scope="module")
def frames():
    return make_frames(FRAMES, 5, 0)


@pytest.fixture(scope="module")
def crops():
    return make_chunk(SYNTH, 5, 0)


def row_of(kept, number):
    return {name: values[number] for name, values in kept.items()}


def test_what_is_kept_of_frames_are_their_hands(frames):
    kept = kept_of_frames(frames)
    assert kept["image"].shape == (2, 3, 144, 192) and kept["mask"].shape == (2, 36, 48)
    assert np.array_equal(kept["there"], frames.present.numpy()) and np.array_equal(
        kept["right"], frames.side.numpy() == 0
    )
    for i, n in frames.present.nonzero().tolist():
        x, y, width, height = frames.boxes[i, n].tolist()
        assert kept["boxes"][i, n] == pytest.approx([x, y, x + width, y + height])


def test_a_window_of_the_whole_frame_changes_nothing(frames):
    row = row_of(kept_of_frames(frames), 0)
    row["image"], row["mask"] = row["image"][:, :, :144], row["mask"][:, :36]
    view = detector_windows._view(row, SquareBox(71.5, 71.5, 144), 144, False)
    assert np.array_equal(view.image, row["image"].transpose(1, 2, 0))
    inside = row["boxes"][:, 2] <= 144
    assert np.allclose(view.boxes[inside], row["boxes"][inside])
    mirrored = detector_windows._view(row, SquareBox(71.5, 71.5, 144), 144, True)
    assert np.array_equal(mirrored.image, view.image[:, ::-1]) and np.array_equal(mirrored.mask, view.mask[:, ::-1])
    assert np.allclose(mirrored.boxes[:, [0, 2]], 144 - view.boxes[:, [2, 0]], atol=1e-4)
    assert np.array_equal(mirrored.right, 1 - view.right)
    assert np.allclose(mirrored.palms, view.palms * [-1, 1, 1])
    assert np.allclose(mirrored.turns[view.present], view.turns[view.present] * [1, -1], atol=1e-5)
    assert np.allclose(mirrored.squares[view.present], np.abs([144, 0, 0] - view.squares[view.present]), atol=0.01)


def test_hands_that_a_window_cuts_off_are_unclear_or_gone():
    row = {
        "image": np.full((3, 100, 100), 90, np.uint8),
        "mask": np.zeros((25, 25), np.uint8),
        "there": np.array([True, True, True, True]),
        "right": np.array([True, True, True, True]),
        "boxes": np.array([[60, 60, 80, 80], [35, 60, 60, 80], [10, 60, 30, 80], [70, 70, 73, 73]], np.float32),
        "share": np.ones(4, np.float32),
        "joints_2d": np.random.default_rng(1).uniform(0, 100, (4, 21, 2)).astype(np.float32),
        "palms": np.tile(np.array([0, 0, -1], np.float32), (4, 1)),
    }
    view = detector_windows._view(row, SquareBox(77.5, 77.5, 44), 88, False)  # from 56 to 100, twice as large
    assert view.present.tolist() == [True, False, False, False]
    assert view.unclear.tolist() == [False, True, False, True]
    assert view.boxes[0] == pytest.approx([8, 8, 48, 48]) and view.boxes[1] == pytest.approx([0, 8, 8, 48])


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000))
def test_squares_are_those_that_the_predictor_looks_at(seed):
    joints = np.random.default_rng(seed).uniform(-20, 220, (1, 21, 2))
    squares, turns = detector_windows._squares(joints, 200)
    wanted = box_around_joints(joints[0] - 0.5, 200, 200)
    # the predictor clips to the middles of the outer pixels, half a pixel within the edge
    assert squares[0] == pytest.approx([wanted.centre_x + 0.5, wanted.centre_y + 0.5, wanted.side], abs=2.0)
    assert math.remainder(math.atan2(turns[0, 1], turns[0, 0]) - wanted.angle, math.tau) == pytest.approx(0, abs=1e-5)


def test_palms_face_where_hands_show_them():
    joints = HandModel.open_hand().rest_joints[:21]
    right = palms(joints, torch.tensor(True))
    left = palms(joints * torch.tensor([-1.0, 1.0, 1.0]), torch.tensor(False))
    assert torch.allclose(left, right * torch.tensor([-1.0, 1.0, 1.0]), atol=1e-6)


def test_a_palm_before_the_camera_faces_it():
    joints = torch.zeros(21, 3)
    joints[5], joints[17] = torch.tensor([-0.03, -0.09, 0.0]), torch.tensor([0.04, -0.08, 0.0])  # y is down
    # fingers up, index finger on the picture's left, as one sees the palm of somebody's left hand, or the back of a right one
    assert palms(joints, torch.tensor(True))[2] > 0.99 and palms(joints, torch.tensor(False))[2] < -0.99


def test_batches_hold_pictures_of_any_kind_at_any_size(frames, crops):
    random = torch.Generator().manual_seed(1)
    for kept, finish, most in ((kept_of_frames(frames), finish_frames, 4), (kept_of_crops(crops), finish_crops, 9)):
        tensors = {name: torch.from_numpy(value) for name, value in kept.items()}
        batch = finish(tensors, 96, random)
        count = len(kept["image"])
        assert batch.image.shape == (count, 3, 96, 96) and batch.mask.shape == (count, 24, 24)
        assert batch.present.shape == (count, most) and not (batch.present & batch.unclear).any()
        assert 0 <= float(batch.image.min()) and float(batch.image.max()) <= 1
        boxes = batch.boxes[batch.present]
        assert bool((boxes[:, 2:] > boxes[:, :2]).all()) and float(boxes.max()) <= 96
        again = finish(tensors, 96, torch.Generator().manual_seed(1))
        assert again.image.shape == batch.image.shape
    assert bool((batch.mask == -1).all(1).any()) or bool((batch.mask <= 0).all())  # nobody knows the masks of crops


def test_photographs_are_labelled_where_the_estimator_is_sure(tmp_path):
    for number in range(2):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((60, 80, 3), 120, np.uint8))
    joints = np.random.default_rng(1).uniform(20, 50, (21, 2))
    space = np.random.default_rng(2).normal(0, 0.1, (21, 3))
    scores = iter([0.9, 0.2])

    def predictor(image, box):
        assert tuple(box) == (0, 0, 80, 60)
        return [SimpleNamespace(score=next(scores), joints_2d=joints, joints=space, side="left")]

    rows = labelled_photographs(tmp_path, predictor)
    assert rows["image"].shape == (1, 3, 128, 128) and not rows["right"][0, 0]
    scale = 128 / 80
    assert rows["joints_2d"][0, 0, :, 0] == pytest.approx((joints[:, 0] + 0.5) * scale - 0.5, abs=0.01)
    low = rows["joints_2d"][0, 0].min(0)
    assert (rows["boxes"][0, 0, :2] < low + 0.5).all()
    with pytest.raises(InputError, match="holds no photographs of hands of which the estimator is sure"):
        labelled_photographs(tmp_path, lambda image, box: [])


def photographs(count=4):
    """Rows of photographs of a bright square for a hand, with joints in it."""
    draw = np.random.default_rng(5)
    image = np.full((count, 3, 128, 128), 40, np.uint8)
    image[:, :, 40:90, 40:90] = 250
    cover = np.zeros((count, 128, 128), np.uint8)
    cover[:, 40:90, 40:90] = 255
    joints = draw.uniform(42, 87, (count, 1, 21, 2)).astype(np.float32)
    return {
        "image": image,
        "cover": cover,
        "there": np.ones((count, 1), bool),
        "right": np.ones((count, 1), bool),
        "boxes": detector_windows._about(joints, 128, 128),
        "share": np.ones((count, 1), np.float32),
        "joints_2d": joints,
        "palms": np.tile(np.array([0, 0, -1], np.float32), (count, 1, 1)),
    }


def test_hands_of_photographs_are_put_where_their_labels_say(tmp_path):
    cv2.imwrite(str(tmp_path / "room.png"), np.full((240, 320, 3), 20, np.uint8))
    rooms = detector_windows.handless_pictures(tmp_path)
    row = {name: values[0] for name, values in photographs().items()}
    for seed in range(20):
        picture = np.full((96, 96, 3), 10, np.uint8)
        put = detector_windows._put(picture, row, [], 96, np.random.default_rng(seed))
        if not put.present[0]:
            continue
        left, top, right, lower = put.boxes[0].round().astype(int)
        inside = np.zeros((96, 96), bool)
        inside[max(top - 4, 0) : lower + 4, max(left - 4, 0) : right + 4] = True
        bright = picture.mean(-1) > 12
        assert bright[top:lower, left:right].mean() > 0.45, seed  # a turned square fills at least half of its box
        assert (bright & ~inside).sum() < 0.5 * (bright & inside).sum(), seed
        assert (
            detector_windows._put(picture, row, [put.boxes[0]], 96, np.random.default_rng(seed)) is None
        )  # the place is taken
    tensors = {name: torch.from_numpy(values) for name, values in photographs().items()}
    batch = detector_windows.finish_photographs(lambda: rooms, tensors, 96, torch.Generator().manual_seed(2))
    assert batch.image.shape == (4, 3, 96, 96) and batch.present.shape == (4, 9) and batch.present.any()
    assert not finish_frames(
        {name: torch.from_numpy(values) for name, values in rooms.items()}, 96, torch.Generator().manual_seed(1)
    ).present.any()
    with pytest.raises(InputError, match="holds no pictures"):
        detector_windows.handless_pictures(tmp_path / "nothing")


def labelled(boxes, size=100):
    """Frames (1) with hands at boxes x, y, width, height."""
    count = len(boxes)
    return Frames(
        image=torch.zeros(1, 3, size, size),
        K=torch.eye(3)[None],
        present=torch.ones((1, count), dtype=torch.bool),
        side=torch.zeros((1, count), dtype=torch.uint8),
        boxes=torch.tensor([boxes], dtype=torch.float32),
        share=torch.ones(1, count),
        joints=torch.zeros(1, count, 21, 3),
        joints_2d=torch.zeros(1, count, 21, 2),
        orientation=torch.zeros(1, count, 3, 3),
        masks=torch.zeros((1, size, size), dtype=torch.int16),
        depth=torch.zeros(1, size, size),
    )


def claim(box, score, right=0.9):
    return Detection(tuple(map(float, box)), score, right, SquareBox(0, 0, 1))


def test_claims_are_matched_once_and_unclear_hands_are_not_asked(monkeypatch):
    frames = labelled([[10, 10, 30, 30], [60, 60, 30, 30], [80, 5, 2, 2]])
    assert clear_hands(frames)[0].tolist() == [True, True, False]
    said = [
        claim([11, 11, 30, 30], 0.9),
        claim([9, 9, 30, 30], 0.8),
        claim([60, 60, 28, 28], 0.7, 0.1),
        claim([80, 5, 2, 2], 0.6),
    ]
    monkeypatch.setattr(detector_claims, "find_hands", lambda *_: [*said, claim([0, 80, 9, 9], 0.5)])
    claims = claims_of(None, frames)
    assert claims.hit.tolist() == [True, False, True, False, False] and claims.hands == 2
    assert claims.side.tolist() == [True, False, False, False, False]
    assert claims.asked.tolist() == [True, True, True, False, True]


def test_figures_of_what_finds_all_and_of_what_finds_none(monkeypatch):
    frames = labelled([[10, 10, 30, 30], [60, 60, 30, 30]])
    network = Detector(SMALL)
    monkeypatch.setattr(
        detector_claims, "find_hands", lambda *_: [claim([10, 10, 30, 30], 0.9), claim([60, 60, 30, 30], 0.8)]
    )
    assert figures(network, frames) == pytest.approx(
        {"recall_half_percent": 100, "recall_one_percent": 100, "precision_percent": 100, "side_percent": 100}
    )
    monkeypatch.setattr(
        detector_claims, "find_hands", lambda *_: [claim([0, 80, 9, 9], 0.9), claim([10, 10, 30, 30], 0.8, 0.2)]
    )
    assert figures(network, frames) == pytest.approx(
        {"recall_half_percent": 0, "recall_one_percent": 50, "precision_percent": 25, "side_percent": 0}
    )


def test_confidences_are_calibrated(monkeypatch):
    draw = np.random.default_rng(4)
    logit = draw.normal(0, 2, 20_000)
    hit = draw.random(20_000) < 1 / (1 + np.exp(-(0.6 * logit + 0.4)))
    every = np.ones(20_000, bool)
    claims = detector_claims.Claims(1 / (1 + np.exp(-logit)), hit, hit, every, 10_000, 5_000)
    monkeypatch.setattr(detector_claims, "claims_of", lambda *_: claims)
    slope, offset = calibration_of(Detector(SMALL), None)
    assert slope == pytest.approx(0.6, abs=0.05) and offset == pytest.approx(0.4, abs=0.08)


def test_a_run_goes_on_where_it_was_and_leaves_weights_with_a_card(tmp_path):
    config = DetectorTraining(
        model=SMALL,
        loop=LoopConfig(
            samples=12, evaluate_every=6, warmup=4, average=4, precision="float32", kernel_precision="float32"
        ),
        frames=FRAMES,
        crops=SYNTH,
        crop_scenes={"hands": 2},
        frames_in_step=4,
        phases=[Phase(1.0, 64, 6, 2)],
        buffer=6,
        workers=0,
        held_out=2,
    )
    lines = []
    weights = run(config, tmp_path / "run", report=lines.append)
    network = load(weights)
    assert network.config.widths == SMALL.widths and network.config.calibration[0] > 0
    card = json.loads(weights.with_suffix(".json").read_text())
    assert [source["scene"] for source in card["data"]] == ["frames of 1 to 2 people", "hands"]
    with pytest.raises(InputError):
        run(replace(config, seed=2), tmp_path / "run", resume=True, report=lines.append)
