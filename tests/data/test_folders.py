import json
import pickle
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from phalanx.core.errors import InputError
from phalanx.data.folders import DepthFolder, PictureFolder, RigFolder, VideoFolder
from phalanx.data.video import read_frames, write_video
from phalanx.synth.scene.rigs import load_rig, looking_at

K = [[60.0, 0, 20], [0, 61, 16], [0, 0, 1]]


def write_picture(path: Path, grey: int = 100, width: int = 40) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((32, width, 3), grey, np.uint8))


def test_pictures_of_folders_in_order(tmp_path):
    for number, name in enumerate(("b/2.png", "a/9.jpg", "a/.hidden.png", "top.png")):
        write_picture(tmp_path / name, 60 * number)
    (tmp_path / "a/notes.txt").write_text("no picture")
    pictures = PictureFolder(tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in pictures.paths] == ["a/9.jpg", "b/2.png", "top.png"]
    assert [pictures[index].ids[0].tolist() for index in range(3)] == [[1, 0, 0], [2, 1, 0], [0, 2, 0]]
    assert 255 * float(pictures[2].image.mean()) == pytest.approx(180)
    (tmp_path / "top.png").write_bytes(b"\x89PNG")
    with pytest.raises(InputError, match=r"top\.png: "):
        pictures[2]
    with pytest.raises(IndexError):
        pictures[3]
    with pytest.raises(InputError, match="nowhere: holds no pictures"):
        PictureFolder(tmp_path / "nowhere")


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    """Two videos of 4 and 3 frames; every frame 20 brighter than the one before."""
    for name, grey, count in (("a.mp4", 20, 4), ("b.mp4", 120, 3)):
        with write_video(tmp_path / name, 10.0) as append:
            for number in range(count):
                append(np.full((64, 64, 3), grey + 20 * number, np.uint8))
    return tmp_path


def test_frames_of_videos_in_any_order(videos):
    frames = VideoFolder(videos)
    assert len(frames) == 7
    for index in (0, 1, 5, 6, 3, 0, -1):
        sample, place = frames[index], index % 7
        assert 255 * float(sample.image.mean()) == pytest.approx(20 + 20 * place + 20 * (place > 3), abs=6)
        video, frame = divmod(place, 4)
        assert sample.ids[0].tolist() == [video, frame, 0] and sample.time.tolist() == pytest.approx([frame / 10])
    assert len(pickle.loads(pickle.dumps(frames))) == 7  # while a video is open
    with pytest.raises(IndexError):
        frames[7]
    (videos / "b.mp4").write_bytes(b"no video")
    assert frames[0].ids.tolist() == [[0, 0, 0]]
    with pytest.raises(InputError, match=r"b\.mp4: is not a video"):
        frames[4]
    with pytest.raises(InputError, match=r"b\.mp4: is not a video"):
        VideoFolder(videos)
    assert len(VideoFolder(videos / "a.mp4")) == 4


@pytest.fixture
def depth_folder(tmp_path: Path) -> Path:
    for number in (0, 1):
        write_picture(tmp_path / f"rgb/{number}.jpg")
        (tmp_path / "depth").mkdir(exist_ok=True)
        depth = np.full((32, 40), 4000 + number, np.uint16)
        depth[0] = 0
        cv2.imwrite(str(tmp_path / f"depth/{number}.png"), depth)
    (tmp_path / "intrinsics.json").write_text(json.dumps({"K": K, "depth_unit": 0.000125}))
    return tmp_path


def test_colour_and_depth(depth_folder):
    frames = DepthFolder(depth_folder)
    assert len(frames) == 2 and DepthFolder.recognises(depth_folder)
    sample = frames[1]
    assert sample.sensed_depth[0, [0, 9], 3].tolist() == pytest.approx([0, 4001 * 0.000125])
    assert sample.K[0].tolist() == K and sample.ids.tolist() == [[0, 1, 0]]


@pytest.mark.parametrize(
    "text",
    ["# a camera\n60 0 20\n0 61 16\n0 0 1\ndepth_unit 0.000125 # metres\n", "depth_unit 0.000125\n\n60 61 20 16\n"],
)
def test_intrinsics_as_text(depth_folder, text):
    (depth_folder / "intrinsics.json").unlink()
    (depth_folder / "intrinsics.txt").write_text(text)
    sample = DepthFolder(depth_folder)[0]
    assert sample.K[0].tolist() == K and float(sample.sensed_depth.max()) == pytest.approx(0.5)


def text(folder: Path, content: str) -> None:
    (folder / "intrinsics.json").unlink()
    (folder / "intrinsics.txt").write_text(content)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: (f / "depth/1.png").unlink(), r"depth/1\.png: is missing"),
        (lambda f: (f / "rgb/1.jpg").unlink(), r"depth/1\.png: does not belong"),
        (lambda f: write_picture(f / "rgb/1.png"), r"rgb/1\.jpg: 1\.png is of the same frame"),
        (lambda f: (f / "rgb").rename(f / "pictures"), r"must have one folder of colour pictures"),
        (lambda f: (f / "intrinsics.json").unlink(), "has neither intrinsics.json nor intrinsics.txt"),
        (lambda f: (f / "intrinsics.json").write_text('{"K": ['), r"intrinsics\.json: is cut short or not JSON"),
        (lambda f: (f / "intrinsics.json").write_text(json.dumps({"K": K})), "must hold K and depth_unit"),
        (lambda f: (f / "intrinsics.json").write_text(json.dumps({"K": K, "depth_unit": -1})), "must be positive"),
        (lambda f: text(f, "60 61 20\ndepth_unit 1"), r"intrinsics\.txt: K: must have shape"),
        (lambda f: text(f, "60 61 20 16\ndepth_unit"), r"intrinsics\.txt: line 2: numbers expected"),
        (lambda f: text(f, "60 61 20 16\n"), r"intrinsics\.txt: has no line depth_unit"),
        (lambda f: text(f, "60 61 20 x\ndepth_unit 1"), r"intrinsics\.txt: line 1: numbers expected"),
    ],
)
def test_faults_of_depth_folders_are_named(depth_folder, spoil, message):
    spoil(depth_folder)
    with pytest.raises(InputError, match=message):
        DepthFolder(depth_folder)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda p: p.write_bytes(p.read_bytes()[:60]), r"is truncated, damaged or no PNG"),
        (lambda p: cv2.imwrite(str(p), np.zeros((32, 40), np.uint8)), r"is not a 16-bit grey picture"),
        (
            lambda p: cv2.imwrite(str(p), np.zeros((16, 20), np.uint16)),
            r"is not the size of its colour picture, 40x32",
        ),
    ],
)
def test_faults_of_depth_pictures_are_named(depth_folder, spoil, message):
    frames = DepthFolder(depth_folder)
    spoil(depth_folder / "depth/0.png")
    with pytest.raises(InputError, match=rf"depth/0\.png: {message}"):
        frames[0]


def test_a_wrong_depth_unit_is_noticed(depth_folder):
    (depth_folder / "intrinsics.json").write_text(json.dumps({"K": K, "depth_unit": 1}))
    with pytest.raises(InputError, match=r"depth/0\.png: is 4e\+03 m away by the depth_unit of .*intrinsics\.json"):
        DepthFolder(depth_folder)[0]


def test_a_partial_depth_folder_opens_when_asked(depth_folder):
    (depth_folder / "depth/0.png").unlink()
    frames = DepthFolder(depth_folder, whole=False)
    assert len(frames) == 1 and float(frames[0].sensed_depth.max()) == pytest.approx(4001 * 0.000125)


def motion(degrees: float) -> list[list[float]]:
    angle = np.radians(degrees)
    position = 0.5 * np.array([np.sin(angle), 0, -np.cos(angle)])
    return looking_at(position, np.zeros(3), np.array([0.0, -1.0, 0.0])).tolist()


@pytest.fixture
def rig(tmp_path: Path) -> Path:
    """Three cameras, of which `cam10` is the last; two frames."""
    cameras = []
    for number, name in enumerate(("cam1", "cam2", "cam10")):
        for frame in (9, 10):
            write_picture(tmp_path / name / f"{frame}.png", 100 * (frame - 9) + 10 * number)
        cameras.append({"K": [[60.0 + number, 0, 20], [0, 61, 16], [0, 0, 1]], "world_to_camera": motion(20 * number)})
    data = {"width": 40, "height": 32, "spot": [0, 0, 0], "cameras": cameras}
    (tmp_path / "rig.json").write_text(json.dumps(data))
    return tmp_path


def test_rigs_frame_by_frame(rig):
    pictures = RigFolder(rig)
    assert len(pictures) == 6 and pictures.cameras == ["cam1", "cam2", "cam10"] and RigFolder.recognises(rig)
    described = load_rig(str(rig / "rig.json"))  # the same file means the same to the synthesis
    for index in range(6):
        frame, camera = divmod(index, 3)
        sample = pictures[index]
        assert sample.ids[0].tolist() == [0, frame, camera]
        assert 255 * float(sample.image.mean()) == pytest.approx(100 * frame + 10 * camera)
        np.testing.assert_allclose(sample.K[0].numpy(), described.K[camera])
        np.testing.assert_allclose(sample.world_to_camera[0].numpy(), described.world_to_camera[camera], atol=1e-6)
    with pytest.raises(IndexError):
        pictures[6]


def edit(rig: Path, change) -> None:
    data = json.loads((rig / "rig.json").read_text())
    change(data)
    (rig / "rig.json").write_text(json.dumps(data))


def test_cameras_may_name_their_folders(rig):
    edit(rig, lambda d: [c.update(name=n) for c, n in zip(d["cameras"], ("cam10", "cam1", "cam2"), strict=True)])
    assert 255 * float(RigFolder(rig)[0].image.mean()) == pytest.approx(20)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: (f / "cam2/9.png").unlink(), r"cam2/9\.png: is missing"),
        (lambda f: (f / "rig.json").write_text("{"), r"rig\.json: is cut short or not JSON"),
        (lambda f: (f / "rig.json").unlink(), r"rig\.json: cannot be read"),
        (lambda f: edit(f, lambda d: d.pop("width")), r"rig\.json: is not a rig: width is missing"),
        (lambda f: edit(f, lambda d: d["cameras"].pop()), "has 2 cameras, but there are 3 folders"),
        (lambda f: edit(f, lambda d: d["cameras"][1].update(K=[1, 2])), r"rig\.json: camera 1: K: must have shape"),
        (lambda f: edit(f, lambda d: d["cameras"][2].update(world_to_camera=(2 * np.eye(4)).tolist())),
         r"rig\.json: camera 2: world_to_camera is no rigid motion"),
    ],
)  # fmt: skip
def test_faults_of_rigs_are_named(rig, spoil, message):
    spoil(rig)
    with pytest.raises(InputError, match=message):
        RigFolder(rig)


def test_a_partial_rig_opens_when_asked(rig):
    (rig / "cam2/9.png").unlink()
    pictures = RigFolder(rig, whole=False)
    assert len(pictures) == 3 and 255 * float(pictures[0].image.mean()) == pytest.approx(100)
    write_picture(rig / "cam2/10.png", width=42)
    with pytest.raises(InputError, match=r"cam2/10\.png: 40x32 pixels expected, has 42x32"):
        pictures[1]


def test_kinds_of_folders_are_told_apart(tmp_path_factory, videos):
    assert VideoFolder.recognises(videos)
    for kind in (PictureFolder, DepthFolder, RigFolder):
        assert not kind.recognises(videos)
    pictures = tmp_path_factory.mktemp("pictures")
    write_picture(pictures / "a/b.png")
    assert PictureFolder.recognises(pictures)
    for kind in (VideoFolder, DepthFolder, RigFolder):
        assert not kind.recognises(pictures)


def test_real_photos(real):
    photos = PictureFolder(real("photos_digits"))
    assert len(photos) == 400
    assert [photos[index].image.shape for index in (0, 399)] == [(1, 3, 100, 100)] * 2
    assert photos[399].ids[0].tolist() == [9, 399, 0]


def numbers(path: Path, first: str) -> np.ndarray:
    """The rows of numbers below the line `first`."""
    lines = path.read_text().splitlines()
    rows = []
    for line in lines[lines.index(first) + 1 :]:
        if not re.fullmatch(r"[-+.e\d\s]+", line):
            break
        rows.append([float(word) for word in line.split()])
    return np.array(rows)


def test_a_real_video(real):
    frames = VideoFolder(real("video"))
    assert len(frames) == 621 and frames[40].image.shape == (1, 3, 720, 1280)
    assert frames[41].time.tolist() == pytest.approx([41 / 30], rel=1e-3)


def test_a_real_rig_has_the_baseline_that_its_authors_give(tmp_path, real):
    place, cameras, square = real("two_cameras"), [], 0.03  # metres a chessboard square, which is not told
    for number in (0, 1):
        frame = next(read_frames(place / f"cam{number}_test.mp4"))
        (tmp_path / f"cam{number}").mkdir()
        cv2.imwrite(str(tmp_path / f"cam{number}/0.jpg"), frame[..., ::-1])
        motion = np.eye(4)
        motion[:3, :3] = numbers(place / f"rot_trans_c{number}.dat", "R:")[:3]
        motion[:3, 3] = square * numbers(place / f"rot_trans_c{number}.dat", "T:")[:3, 0]
        K = numbers(place / f"c{number}.dat", "intrinsic:")[:3]
        cameras.append({"K": K.tolist(), "world_to_camera": motion.tolist()})
    (tmp_path / "rig.json").write_text(json.dumps({"width": 720, "height": 720, "cameras": cameras}))
    first, second = (RigFolder(tmp_path)[index] for index in (0, 1))
    relative = (second.world_to_camera[0] @ first.world_to_camera[0].inverse()).numpy()
    note = (place / "rot_trans_c1.dat").read_text().split("#")[1]  # camera 0 to camera 1, as measured on its own
    (tmp_path / "relative.dat").write_text(note)
    given = square * numbers(tmp_path / "relative.dat", "T:")[:3, 0]
    assert np.linalg.norm(relative[:3, 3] - given) < 0.1 * np.linalg.norm(given)
    given_rotation = numbers(tmp_path / "relative.dat", "R:")[:3]
    assert np.trace(relative[:3, :3].T @ given_rotation) > 1 + 2 * np.cos(np.radians(5))
