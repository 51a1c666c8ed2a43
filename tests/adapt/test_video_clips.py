"""Clips cut out: what labels, boxes, cameras and flow of neighbouring frames say of one hand goes together."""

from dataclasses import replace

import numpy as np
import pytest
from clip_folder import SIZE, clip, write_clip, write_coco, write_frames
from small_estimator import SMALL

from phalanx.adapt import video_clips as module
from phalanx.adapt.video_clips import mirrored, own_joints, read_clips, seen_joints_of
from phalanx.adapt.video_files import VideoFiles
from phalanx.core.errors import InputError
from phalanx.geometry.crops import square_crop
from phalanx.hand.prediction import HandPrediction
from phalanx.methods.compact import CompactEstimator


@pytest.fixture(scope="module")
def network():
    return CompactEstimator(SMALL).eval()


def nobody():
    raise AssertionError("no hand has to be found where there are keypoints")


def labelled(folder, number=0, name="b"):
    pictures, points, *_ = clip(number)
    write_frames(folder / name, pictures)
    write_coco(folder / f"{name}.json", points, [f"{name}/{row:04d}.png" for row in range(1, len(points) + 1)])
    return pictures, points


def test_hands_are_cut_out_with_their_labels(tmp_path, network):
    _, points = labelled(tmp_path)
    told = []
    found = read_clips(VideoFiles(tmp_path, camera=[200, 210, 50, 40]), network, nobody, 1000, told.append)
    hands = found.hands
    assert len(hands) == 12 and told == [] and found.skipped == [] and not hands.own.any()
    placed = hands.joints @ hands.to_picture[:, :2, :2].swapaxes(1, 2) + hands.to_picture[:, None, :2, 2]
    assert np.abs(placed - points).max() < 1e-6
    assert np.array_equal(hands.K[0], [[200, 0, 50], [0, 210, 40], [0, 0, 1]])
    assert hands.times == pytest.approx(np.arange(12) / 30) and hands.runs(6)[-1] == list(range(6, 12))
    apart = np.linalg.norm(hands.onward[:-1] - np.diff(points, axis=0), axis=-1)
    assert np.nanmedian(apart) < 1.0 and np.isfinite(apart).mean() > 0.7  # pixels of 96
    apart = np.linalg.norm(hands.back[1:] + np.diff(points, axis=0), axis=-1)
    assert np.nanmedian(apart) < 1.0 and np.isnan(hands.onward[-1]).all() and np.isnan(hands.back[0]).all()


def test_a_left_hand_is_its_mirror_image(tmp_path, network):
    pictures, points = labelled(tmp_path / "right")
    write_frames(tmp_path / "left" / "b", pictures[:, :, ::-1])
    flipped = points * [-1, 1] + [SIZE - 1, 0]
    write_coco(tmp_path / "left" / "b.json", flipped, [f"b/{row:04d}.png" for row in range(1, 13)], side="left")
    right, left = (
        read_clips(VideoFiles(tmp_path / side, camera=[200, 200, x, 40]), network, nobody, 1000).hands
        for side, x in (("right", 50), ("left", SIZE - 1 - 50))
    )
    for name in ("joints", "to_picture", "K", "side"):
        assert np.abs(getattr(right, name) - getattr(left, name)).max() < 1e-6, name
    assert np.abs(right.tiles.astype(int) - left.tiles.astype(int)).max() <= 3  # rounding of the warp
    again = mirrored(mirrored(right, SIZE), SIZE)
    assert np.allclose(again.to_picture, right.to_picture) and np.array_equal(again.tiles, right.tiles)


def test_a_clip_is_divided_where_it_is_cut(tmp_path, network):
    (one, points), (two, more) = (clip(0)[:2], clip(1)[:2])
    write_frames(tmp_path / "b", np.concatenate([one[:7], two[:8]]))
    write_coco(
        tmp_path / "b.json", np.concatenate([points[:7], more[:8]]), [f"b/{row:04d}.png" for row in range(1, 16)]
    )
    told = []
    found = read_clips(VideoFiles(tmp_path), network, nobody, 1000, told.append)
    assert told == [f"{tmp_path / 'b'}: is cut before frame 7, and is divided there"]
    assert [len(piece) for piece in found.hands.pieces()] == [7, 8] and found.counts["cuts"] == 1
    assert np.isnan(found.hands.onward[6]).all() and np.isnan(found.hands.back[7]).all()


def test_what_is_at_fault_is_named_and_the_rest_goes_on(tmp_path, network):
    labelled(tmp_path)
    pictures, points = labelled(tmp_path, name="c")
    write_coco(tmp_path / "c.json", points, [f"c/{row + 20:04d}.png" for row in range(12)])
    np.savez(tmp_path / "c.npz", joints=points[:5])
    (tmp_path / "c.json").unlink()
    write_clip(tmp_path / "d.mp4", pictures[:1])
    np.savez(tmp_path / "d.npz", joints=points[:1])
    (tmp_path / "e.mp4").write_bytes(b"no video")
    np.savez(tmp_path / "e.npz", joints=points[:1])
    told = []
    found = read_clips(VideoFiles(tmp_path, side="right"), network, nobody, 1000, told.append)
    assert len(found.hands) == 12 and [each["problem"] for each in found.skipped] == told
    assert told == [
        f"{tmp_path / 'c.npz'}: has keypoints of 5 frames, and c has 12",
        f"{tmp_path / 'd.mp4'}: a clip of one frame, and one has 3 frames or more",
        f"{tmp_path / 'e.mp4'}: is not a video that can be read",
    ]
    with pytest.raises(InputError, match=r"none of its 1 clips shows a hand in 3 frames in a row"):
        write_frames(tmp_path / "f" / "g", pictures[:2])
        read_clips(VideoFiles(tmp_path / "f", own=True), network, lambda: None, 1000, told.append)


def test_missing_frames_divide_a_stretch(tmp_path, network):
    labelled(tmp_path)
    (tmp_path / "b" / "times.txt").write_text("\n".join(str(row + 5 * (row > 5)) for row in range(12)))
    hands = read_clips(VideoFiles(tmp_path), network, nobody, 1000).hands
    assert [len(piece) for piece in hands.pieces()] == [6, 6] and len(hands.runs(6)) == 2


def test_of_long_clips_stretches_are_taken(tmp_path, network, monkeypatch):
    labelled(tmp_path)
    monkeypatch.setattr(module, "RUN", 3)
    hands = read_clips(VideoFiles(tmp_path), network, nobody, 6).hands
    assert len(hands) == 6 and [len(piece) for piece in hands.pieces()] == [3, 3]


class Followed:
    """A tracker that knows where the hand is."""

    def __init__(self, *_, **__):
        self.frame = -1

    def __call__(self, picture, time):
        self.frame += 1
        hand = HandPrediction.__new__(HandPrediction)
        side = "left" if self.frame == 5 else "right"
        for name, value in {"id": 0, "side": side, "score": 0.9, "joints_2d": clip()[1][self.frame]}.items():
            object.__setattr__(hand, name, value)
        return [hand]


def test_without_keypoints_the_estimators_own_are_labels(tmp_path, network, monkeypatch):
    write_frames(tmp_path / "b", clip()[0])
    monkeypatch.setattr(module, "Tracker", Followed)
    monkeypatch.setattr(module, "_SURE", 1.0)
    monkeypatch.setattr(module, "_AGREED", 1.0)
    hands = read_clips(VideoFiles(tmp_path), network, lambda: None, 1000).hands
    assert hands.own.all() and len(hands) == 11  # not the frame in which it was taken for the other hand
    assert np.isnan(hands.onward[4]).all() and np.isnan(hands.back[5]).all()
    seen, _ = seen_joints_of(hands, network)
    assert np.isfinite(hands.joints).all() and np.abs(hands.joints - seen).mean() < 0.1


def test_own_labels_are_means_of_what_flow_carries(tmp_path, network, monkeypatch):
    labelled(tmp_path)
    hands = read_clips(VideoFiles(tmp_path), network, nobody, 1000).hands
    monkeypatch.setattr(module, "_PASSES", 1)
    monkeypatch.setattr(module, "_SURE", 1.0)
    monkeypatch.setattr(module, "_AGREED", 1.0)
    rows = hands[[0, 1]]
    still = replace(
        rows, to_picture=rows.to_picture[[0, 0]], onward=rows.onward * 0 + [2.0, 0], back=rows.back * np.nan
    )
    still.onward[0] = [2.0, 0]
    seen, _ = seen_joints_of(still, network)
    found = own_joints(still, network)
    moved = np.linalg.inv(still.to_picture[0])[:2, :2] @ [2.0, 0]
    assert np.allclose(found[0], seen[0]) and np.allclose(found[1], (seen[1] + seen[0] + moved) / 2)
    monkeypatch.setattr(module, "_SURE", 0.0)
    assert np.isnan(own_joints(still, network)).all()


def test_crops_of_tiles_are_crops_of_the_picture(tmp_path, network):
    pictures, _ = labelled(tmp_path)
    hands = read_clips(VideoFiles(tmp_path), network, nobody, 1000).hands
    x, y = (hands.to_picture[3] @ [0.5, 0.5, 1])[:2]
    near = pictures[3][round(y) - 1 : round(y) + 2, round(x) - 1 : round(x) + 2].reshape(-1, 3).mean(0)
    assert np.abs(hands.tiles[3][110:114, 110:114].reshape(-1, 3).mean(0) - near).max() < 25
    assert square_crop(hands.tiles[3], module.nominal_crop()[0], 64)[0].shape == (64, 64, 3)
