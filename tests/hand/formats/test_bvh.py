"""BVH files, read back by a reader of their own."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from phalanx.core.errors import InputError
from phalanx.hand.formats.bvh import load_bvh, save_bvh
from phalanx.hand.model import HandModel
from phalanx.hand.skeleton import JOINT_NAMES, PARENTS, TIPS

Y_UP = np.array([1.0, -1.0, -1.0])


def about(axis: str, degrees: float) -> np.ndarray:
    return Rotation.from_euler(axis, degrees, degrees=True).as_matrix()


def play(text: str) -> tuple[list[str], list[int], np.ndarray, float]:
    """Names, parents, joints (T, J, 3) and the time of a frame."""
    head, motion = text.split("MOTION\n")
    names, parents, offsets, channels, open_nodes = [], [], [], [], []
    for line in head.splitlines()[1:]:
        words = line.split()
        if words[0] in ("ROOT", "JOINT", "End"):
            names.append(words[1])
            parents.append(open_nodes[-1] if open_nodes else -1)
        elif words[0] == "{":
            open_nodes.append(len(names) - 1)
        elif words[0] == "}":
            open_nodes.pop()
        elif words[0] == "OFFSET":
            offsets.append(np.array(words[1:], float))
        else:
            assert int(words[1]) == len(words) - 2
            channels += [(len(names) - 1, kind) for kind in words[2:]]
    assert not open_nodes
    count, step, *rows = motion.splitlines()
    assert int(count.split()[1]) == len(rows)
    found = np.empty((len(rows), len(names), 3))
    for frame, row in enumerate(rows):
        values = list(map(float, row.split()))
        assert len(values) == len(channels)
        turn, shift = [np.eye(3) for _ in names], [offset.copy() for offset in offsets]
        for (node, kind), value in zip(channels, values, strict=True):
            if kind.endswith("position"):
                shift[node]["XYZ".index(kind[0])] += value
            else:
                turn[node] = turn[node] @ about(kind[0], value)
        for node, parent in enumerate(parents):
            above = turn[parent] if parent >= 0 else np.eye(3)
            found[frame, node] = (found[frame, parent] if parent >= 0 else 0) + above @ shift[node]
            turn[node] = above @ turn[node]
    return names, parents, found, float(step.split()[2])


@pytest.mark.parametrize("side", ["left", "right"])
def test_it_plays_as_it_was_recorded(recorded, tmp_path, side):
    take = recorded(side)
    save_bvh(tmp_path / "a.bvh", take)
    names, parents, joints, step = play((tmp_path / "a.bvh").read_text())
    assert names == ["Site" if joint in TIPS else JOINT_NAMES[joint] for joint in range(21)]
    assert parents == list(PARENTS)
    np.testing.assert_allclose(joints, take.joints * Y_UP, atol=1e-5)
    assert step == pytest.approx(1 / 15, abs=1e-6)


def test_bones_are_those_of_the_mean_shape(recorded, tmp_path):
    take = recorded("right", vary=1.0)
    save_bvh(tmp_path / "a.bvh", take)
    joints = play((tmp_path / "a.bvh").read_text())[2]
    pose = take.pose()
    pose.shape = np.repeat(pose.shape.mean(0, keepdims=True), len(take), 0)
    expected = HandModel.open_hand().joints(pose.map(torch.from_numpy))
    np.testing.assert_allclose(joints, expected.numpy() * Y_UP, atol=1e-5)
    assert torch.isfinite(expected).all()


def test_angles_go_on_beyond_a_whole_turn(recorded, tmp_path):
    take = recorded("right", frames=60)
    turns = Rotation.from_euler("z", np.linspace(0, 1000, 60)[:, None], degrees=True).as_matrix()
    save_bvh(tmp_path / "a.bvh", replace(take, orientation=turns))
    rows = np.loadtxt((tmp_path / "a.bvh").read_text().splitlines()[-60:])
    assert np.abs(np.diff(rows[:, 3:], axis=0)).max() < 60 and np.ptp(rows[:, 3]) > 900


@pytest.mark.parametrize("side", ["left", "right"])
def test_it_is_read_back(recorded, tmp_path, side):
    take = recorded(side)
    save_bvh(tmp_path / "a.bvh", take)
    motion = load_bvh(tmp_path / "a.bvh")
    names, parents, joints, step = play((tmp_path / "a.bvh").read_text())
    assert motion.names == [
        f"{names[parents[joint]]}_end" if joint in TIPS else name for joint, name in enumerate(names)
    ]
    assert motion.parents.tolist() == parents and motion.step == step
    np.testing.assert_allclose(motion.places, joints, atol=1e-9)
    np.testing.assert_allclose(motion.places, take.joints * Y_UP, atol=1e-5)


def test_files_that_are_none_or_cut(recorded, tmp_path):
    save_bvh(tmp_path / "a.bvh", recorded("right"))
    words = (tmp_path / "a.bvh").read_text()
    for text in (
        "",
        "HIERARCHY",
        words[: len(words) // 3],
        words[:-9],
        words.replace("OFFSET", "OFSET"),
        words + " 1.0",
    ):
        (tmp_path / "b.bvh").write_text(text)
        with pytest.raises(InputError, match="b.bvh: is no BVH file, or is cut"):
            load_bvh(tmp_path / "b.bvh")
    (tmp_path / "b.bvh").write_bytes(b"\xff\xfe\x00HIERARCHY")
    with pytest.raises(InputError, match="b.bvh: is no BVH file"):
        load_bvh(tmp_path / "b.bvh")
    with pytest.raises(InputError, match="none.bvh: cannot be read"):
        load_bvh(tmp_path / "none.bvh")
