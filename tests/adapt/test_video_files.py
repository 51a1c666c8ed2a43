"""Clips and the keypoints that go with them, as users have them."""

import json

import numpy as np
import pytest
from clip_folder import SIZE, clip, write_clip, write_coco, write_frames, write_mediapipe, write_openpose

from phalanx.adapt.video_files import Clip, VideoFiles, find_clips, keypoints_of
from phalanx.core.errors import InputError


@pytest.fixture
def told():
    return []


def clips_of(folder, told, **options):
    files = VideoFiles(folder, **options)
    return files, find_clips(files, lambda path, sentence: told.append(sentence))


def tracks_of(folder, told, **options):
    files, clips = clips_of(folder, told, **options)
    assert len(clips) == 1
    return keypoints_of(clips[0], clips, files)


def test_videos_and_folders_of_frames_are_found(tmp_path, told):
    pictures, *_ = clip()
    write_clip(tmp_path / "a.mp4", pictures[:3])
    write_frames(tmp_path / "more" / "b", pictures[:4])
    write_frames(tmp_path / "one", pictures[:1])
    (tmp_path / "a_overlay.mp4").write_bytes(b"x")
    _, clips = clips_of(tmp_path, told)
    assert [each.name for each in clips] == ["a.mp4", "more/b"]
    assert told == [f"{tmp_path / 'one'}: holds one picture, and a clip has three frames or more"]
    times = [time for time, _ in clips[1].frames(told.append)]
    assert times == pytest.approx([0, 1 / 30, 2 / 30, 3 / 30])


def test_seconds_are_those_stated_or_follow_from_numbers(tmp_path, told):
    pictures, *_ = clip()
    folder = tmp_path / "b"
    write_frames(folder, pictures[:4])
    (folder / "0002.png").unlink()
    assert clips_of(tmp_path, told, rate=10.0)[1][0].times == pytest.approx((0.0, 0.2, 0.3))
    (folder / "times.txt").write_text("0.5\n0.51\n0.7\n")
    assert clips_of(tmp_path, told)[1][0].times == (0.5, 0.51, 0.7)
    (folder / "times.txt").write_text("0.5\n0.51\n")
    with pytest.raises(InputError, match="holds no clips"):
        clips_of(tmp_path, told)
    assert told[-1].endswith(f"has 2 times, and {folder} has 3 frames")
    (folder / "times.txt").write_text("0.5\n0.51\n0.4\n")
    with pytest.raises(InputError):
        clips_of(tmp_path, told)
    assert "do not increase" in told[-1]


def test_keypoints_of_every_kind_say_the_same(tmp_path, told):
    pictures, points, *_ = clip()
    names = [f"{number:04d}" for number in range(1, 13)]
    writers = {
        "coco": lambda folder: write_coco(folder / "b.json", points, [f"b/{name}.png" for name in names]),
        "inside": lambda folder: write_coco(
            folder / "b" / "labels.json", points, [f"{name}.png" for name in names], side=None
        ),
        "root": lambda folder: write_coco(folder / "labels.json", points, [f"b/{name}.png" for name in names]),
        "openpose": lambda folder: write_openpose(folder / "b_json", points, names),
        "openpose inside": lambda folder: write_openpose(folder / "b", points, names),
        "mediapipe": lambda folder: write_mediapipe(folder / "b.json", points),
        "npz": lambda folder: np.savez(folder / "b.npz", joints=points),
        "csv": lambda folder: np.savetxt(folder / "b_keypoints.csv", points.reshape(-1, 42), delimiter=","),
    }
    for name, write in writers.items():
        folder = tmp_path / name
        write_frames(folder / "b", pictures)
        write(folder)
        (track,) = tracks_of(folder, told)
        found = np.stack([track.points[number] for number in range(12)])
        found = found * SIZE - 0.5 if track.fractions else found
        assert np.abs(found - points).max() < 1e-3, name
        track.check(Clip("b", folder), 12, SIZE, SIZE)
        assert track.side == ("right" if name in ("coco", "root", "openpose", "openpose inside") else None)
        assert tracks_of(folder, told, own=True) == []
    (track,) = tracks_of(tmp_path / "csv", told, keypoints=[tmp_path / "npz" / "b.npz"])
    assert track.where.endswith("b.npz")
    (track,) = tracks_of(tmp_path / "csv", told, keypoints=[tmp_path / "openpose"])
    assert track.where.endswith("b_json: right hand")


def test_keypoints_of_a_video_count_its_frames(tmp_path, told):
    pictures, points, *_ = clip()
    write_clip(tmp_path / "a.mp4", pictures)
    write_coco(tmp_path / "a.json", points[3:5], ["a_000003.jpg", "a_000004.jpg"])
    (track,) = tracks_of(tmp_path, told)
    assert sorted(track.points) == [3, 4] and track.size == (SIZE, SIZE)


def test_hands_of_single_frames_are_linked(tmp_path, told):
    pictures, points, *_ = clip()
    write_frames(tmp_path / "b", pictures)
    names = [f"{number:04d}.png" for number in range(1, 13)]
    far = points + [300, 0]
    write_coco(tmp_path / "b.json", np.concatenate([points, far[::-1]]), names + names[::-1], side=None)
    data = json.loads((tmp_path / "b.json").read_text())
    for image in data["images"]:
        image.pop("width")
    (tmp_path / "b.json").write_text(json.dumps(data))
    one, two = tracks_of(tmp_path, told)
    assert np.abs(one.points[7] - points[7]).max() < 1e-6 and np.abs(two.points[7] - far[7]).max() < 1e-6


def test_keypoints_at_fault(tmp_path, told):
    pictures, points, joints, _ = clip()
    write_frames(tmp_path / "b", pictures)
    b = Clip("b", tmp_path / "b")
    np.savez(tmp_path / "b.npz", joints=points[:7])
    (track,) = tracks_of(tmp_path, told)
    with pytest.raises(InputError, match=r"b\.npz: has keypoints of 7 frames, and b has 12$"):
        track.check(b, 12, SIZE, SIZE)
    np.savez(tmp_path / "b.npz", joints=joints - joints[:, :1])
    with pytest.raises(InputError, match=r"its joints lie in space, and 2D keypoints are those of the picture"):
        tracks_of(tmp_path, told)
    (tmp_path / "b.npz").unlink()
    write_openpose(tmp_path / "b", points[:1], ["0099"])
    with pytest.raises(InputError, match=r"0099_keypoints\.json: is for no frame of b"):
        tracks_of(tmp_path, told)
    with pytest.raises(InputError, match="no such file"):
        tracks_of(tmp_path, told, keypoints=[tmp_path / "nowhere"])
    write_coco(tmp_path / "other.json", points[:1], ["z/9999.png"])
    with pytest.raises(InputError, match="has no keypoints of b"):
        tracks_of(tmp_path, told, keypoints=[tmp_path / "other.json"])
    with pytest.raises(InputError, match="frames a second"):
        clips_of(tmp_path, told, rate=0.0)
    with pytest.raises(InputError, match="no such folder"):
        clips_of(tmp_path / "nowhere", told)
