import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest

from phalanx.core.errors import InputError
from phalanx.data.public import mhp
from phalanx.data.public.mhp import MHP, read_joints
from phalanx.hand.model import HandModel

ROTATION = np.array([0.1, -0.2, 0.05])
SHIFTS = np.array([[0, 0, 600.0], [20, 0, 650], [0, 30, 600], [0, 0, 700]])  # of the four webcams, millimetres
K = np.array([[614.878, 0, 313.219], [0, 615.479, 231.288], [0, 0, 1]])
DISTORTION = np.array([0.092701, -0.175877, -0.0035687, -0.00302299, 0])
FINGERS = (("F4", 5), ("F3", 9), ("F1", 17), ("F2", 13), ("TH", 1))


def right_hand() -> np.ndarray:
    """(21, 3) millimetres in the Leap's frame, off its origin so that distortion shows."""
    return HandModel.open_hand().rest_joints.numpy() * [1000.0, -1000, -1000] + [200, -30, 0]


def joint_lines(joints: np.ndarray) -> list[str]:
    lines = []
    for finger, base in FINGERS:
        for name, joint in (("KNU1_A", base + 1), ("KNU1_B", base), ("KNU2_A", base + 2), ("KNU3_A", base + 3)):
            lines.append(f"{finger}_{name} " + " ".join(f"{value:.5f}" for value in joints[joint]))
    palm = (joints[0] + joints[9]) / 2
    return [*lines, "PALM_POSITION " + " ".join(f"{value:.5f}" for value in palm), "PALM_NORMAL 0 0 1"]


def in_camera(camera: int) -> np.ndarray:
    """(21, 3) millimetres"""
    return right_hand() @ cv2.Rodrigues(ROTATION)[0].T + SHIFTS[camera]


def distorted(points: np.ndarray) -> np.ndarray:
    return cv2.projectPoints(points, np.zeros(3), np.zeros(3), K, DISTORTION)[0].reshape(-1, 2)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two sequences of two frames; the picture has a spot where the authors' projection puts the index finger's tip."""
    monkeypatch.setitem(mhp.OFFICIAL, "test", (1, 10))
    for sequence in (1, 10):
        frames = tmp_path / f"annotated_frames/data_{sequence}"
        frames.mkdir(parents=True)
        for camera in range(4):
            calibration = tmp_path / f"calibrations/data_{sequence}/webcam_{camera + 1}"
            calibration.mkdir(parents=True)
            (calibration / "rvec.pkl").write_bytes(pickle.dumps(ROTATION.reshape(3, 1), 0))
            (calibration / "tvec.pkl").write_bytes(pickle.dumps(SHIFTS[camera].reshape(3, 1), 0))
            picture = np.zeros((480, 640, 3), np.uint8)
            spot = distorted(in_camera(camera)[8:9])[0]
            cv2.circle(picture, tuple(round(16 * value) for value in spot), 16 * 4, (255, 255, 255), -1, cv2.LINE_AA, 4)
            for frame in range(2):
                cv2.imwrite(str(frames / f"{frame}_webcam_{camera + 1}.jpg"), picture)
        for frame in range(2):
            (frames / f"{frame}_joints.txt").write_text("\n".join(joint_lines(right_hand())) + "\n")
    return tmp_path


def test_joints_and_cameras(folder):
    dataset = MHP(folder, "test")
    assert len(dataset) == 16 and MHP.recognises(folder) and not MHP.recognises(folder / "calibrations")
    for index in (0, 1, 6, 11, 15):
        sample = dataset[index]
        sequence, frame, camera = sample.ids[0].tolist()
        assert (sequence, frame, camera) == ((1, 10)[index // 8], index // 4 % 2, index % 4)
        np.testing.assert_allclose(sample.joints[0], in_camera(camera) / 1000, atol=1e-5)
        projected = sample.joints[0] @ sample.K[0].T
        np.testing.assert_allclose(projected[:, :2] / projected[:, 2:], sample.joints_2d[0], atol=1e-3)
        world = np.hstack((right_hand() / 1000, np.ones((21, 1))))
        np.testing.assert_allclose(
            (world @ sample.world_to_camera[0].double().numpy().T)[:, :3], sample.joints[0], atol=1e-5
        )
        assert sample.left is None and sample.valid is None


def test_the_distortion_is_taken_out_of_the_pictures(folder):
    for index in range(4):
        sample = MHP(folder, "test")[index]
        bright = sample.image[0, 0].double().numpy()
        rows, columns = np.mgrid[:480, :640]
        centre = np.array([(bright * columns).sum(), (bright * rows).sum()]) / bright.sum()
        tip = sample.joints_2d[0, 8].numpy()
        assert np.abs(centre - tip).max() < 0.15
        assert np.abs(distorted(in_camera(index)[8:9])[0] - tip).max() > 1  # it is not where it was


def test_the_palm_can_be_had_back(folder):
    joints = read_joints(folder / "annotated_frames/data_1/0_joints.txt")
    np.testing.assert_allclose((joints[0] + joints[9]) / 2, (right_hand()[0] + right_hand()[9]) / 2000, atol=1e-7)


def test_joints_may_lie_in_a_folder_of_their_own(folder):
    for sequence in (1, 10):
        (folder / f"annotations/data_{sequence}").mkdir(parents=True)
        for file in sorted((folder / f"annotated_frames/data_{sequence}").glob("*.txt")):
            file.rename(folder / f"annotations/data_{sequence}" / file.name)
    assert len(MHP(folder, "test")) == 16
    MHP(folder, "test")[3]


def test_removed_and_added_files_are_named(folder):
    frames = folder / "annotated_frames/data_10"
    extra = frames / "7_webcam_2.jpg"
    extra.write_bytes(b"x")
    with pytest.raises(InputError, match="data_10/7_webcam_2.jpg: does not belong"):
        MHP(folder, "test")
    extra.rename(frames / "odd.jpg")
    with pytest.raises(InputError, match="data_10/odd.jpg: does not belong"):
        MHP(folder, "test")
    (frames / "odd.jpg").unlink()
    (frames / "1_webcam_3.jpg").unlink()
    with pytest.raises(InputError, match="data_10/1_webcam_3.jpg: is missing"):
        MHP(folder, "test")
    (frames / "0_joints.txt").unlink()
    with pytest.raises(InputError, match="data_10/0_joints.txt: is missing"):
        MHP(folder, "test")
    assert len(MHP(folder, "test", whole=False)) == 8 + 3
    with pytest.raises(InputError, match="data_2: is missing"):
        MHP(folder, "train")
    with pytest.raises(InputError, match="no frames of the split train"):
        MHP(folder, "train", whole=False)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (joint_lines(right_hand())[1:], "has no line F4_KNU1_A"),
        (joint_lines(right_hand())[:10], "11 of 21 joints are missing"),
        (["F4_KNU1_A 1 2"], "line 1: a name and three finite numbers"),
        (["", "F4_KNU1_A 1 2 x"], "line 2: a name and three finite numbers"),
        (["F4_KNU1_A 1 2 nan"], "line 1: a name and three finite numbers"),
        (joint_lines(right_hand() / 1000), "in millimetres, but seem to be in metres"),
        (joint_lines(right_hand() - [0, 0, 2000]), "behind webcam 1"),
        ([], "is empty"),
    ],
)
def test_bad_joints_are_named(folder, lines, message):
    (folder / "annotated_frames/data_1/0_joints.txt").write_text("\n".join(lines))
    with pytest.raises(InputError, match=f"0_joints.txt: .*{message}"):
        MHP(folder, "test")[0]


def test_bad_files_are_named(folder):
    path = folder / "annotated_frames/data_1/0_webcam_1.jpg"
    dataset = MHP(folder, "test")
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(InputError, match="0_webcam_1.jpg: .*(truncated|damaged)"):
        dataset[0]
    cv2.imwrite(str(path), np.zeros((48, 64, 3), np.uint8))
    with pytest.raises(InputError, match="0_webcam_1.jpg: 640x480 pixels expected, has 64x48"):
        dataset[0]
    shift = folder / "calibrations/data_1/webcam_2/tvec.pkl"
    for values, unit in ((SHIFTS[1] / 1000, "metres, not in mm"), (SHIFTS[1] * 1000, "another unit")):
        shift.write_bytes(pickle.dumps(values.reshape(3, 1), 0))
        with pytest.raises(InputError, match=f"tvec.pkl: is .* long, which seems to be in {unit}"):
            MHP(folder, "test")
    shift.write_bytes(pickle.dumps(SHIFTS[1].reshape(3, 1), 0))
    rotation = folder / "calibrations/data_1/webcam_2/rvec.pkl"
    rotation.write_bytes(pickle.dumps(np.ones((4, 1))))
    with pytest.raises(InputError, match=r"rvec.pkl: must have shape \(3,\), has \(4,\)"):
        MHP(folder, "test")
    rotation.write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(InputError, match="rvec.pkl: not a readable pickle .*system"):
        MHP(folder, "test")
    rotation.unlink()
    with pytest.raises(InputError, match="rvec.pkl: cannot be read: no such file"):
        MHP(folder, "test")
