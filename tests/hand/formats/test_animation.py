"""Animated GLB files, read back by a reader of their own."""

import json
from dataclasses import replace

import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation, Slerp

from phalanx.hand.formats.animation import save_animation
from phalanx.hand.skeleton import JOINT_NAMES

Y_UP = np.array([1.0, -1.0, -1.0])
TYPES = {5126: "<f4", 5121: "u1", 5125: "<u4"}
WIDTHS = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}


class Player:
    """What a player makes of a GLB: nodes and vertices at any time."""

    def __init__(self, path) -> None:
        content = path.read_bytes()
        assert content[:4] == b"glTF" and int.from_bytes(content[8:12], "little") == len(content)
        length = int.from_bytes(content[12:16], "little")
        self.document = json.loads(content[20 : 20 + length])
        self.binary = content[28 + length :]
        assert content[24 + length : 28 + length] == b"BIN\0" and len(self.binary) % 4 == 0

    def values(self, number: int) -> np.ndarray:
        accessor = self.document["accessors"][number]
        view = self.document["bufferViews"][accessor["bufferView"]]
        kind, width = TYPES[accessor["componentType"]], WIDTHS[accessor["type"]]
        raw = np.frombuffer(self.binary, kind, accessor["count"] * width, view["byteOffset"])
        found = raw.reshape(accessor["count"], width)
        if "min" in accessor:
            np.testing.assert_allclose(found.min(0), accessor["min"], rtol=1e-6)
            np.testing.assert_allclose(found.max(0), accessor["max"], rtol=1e-6)
        return found

    def morphs(self, time: float) -> np.ndarray | float:
        """What the morph targets add to the vertices at rest."""
        targets = self.document["meshes"][0]["primitives"][0].get("targets", [])
        amounts = self.animated(time)[1].get("weights", np.zeros(0))
        assert len(amounts) == len(targets) == len(self.document["meshes"][0].get("weights", []))
        return sum(a * self.values(target["POSITION"]) for a, target in zip(amounts, targets, strict=True))

    def animated(self, time: float) -> list[dict]:
        """The nodes, with what is animated as it is at that time."""
        nodes = [dict(node) for node in self.document["nodes"]]
        animation = self.document["animations"][0]
        for channel in animation["channels"]:
            sampler = animation["samplers"][channel["sampler"]]
            times, values = self.values(sampler["input"])[:, 0], self.values(sampler["output"])
            at = float(np.clip(time, times[0], times[-1]))
            if channel["target"]["path"] == "weights":
                values = values.reshape(len(times), -1)
            if channel["target"]["path"] == "rotation":
                turns = Rotation.from_quat(values)
                value = values[0] if len(times) == 1 else Slerp(times, turns)(at).as_quat()
            else:
                value = np.array([np.interp(at, times, column) for column in values.T])
            nodes[channel["target"]["node"]][channel["target"]["path"]] = value
        return nodes

    def places(self, time: float) -> list[np.ndarray]:
        """4x4 of all nodes in the world."""
        nodes = self.animated(time)
        world: list = [None] * len(nodes)

        def walk(number: int, above: np.ndarray) -> None:
            node, own = nodes[number], np.eye(4)
            own[:3, :3] = Rotation.from_quat(node.get("rotation", [0, 0, 0, 1])).as_matrix()
            own[:3, 3] = node.get("translation", 0)
            assert world[number] is None, "a node has two parents"
            world[number] = above @ own
            for child in node.get("children", []):
                walk(child, world[number])

        for root in self.document["scenes"][0]["nodes"]:
            walk(root, np.eye(4))
        return world

    def joints(self, time: float, hand: int = 0) -> np.ndarray:
        first = self.document["scenes"][0]["nodes"][2 * hand]
        names = [node["name"] for node in self.document["nodes"]]
        world = self.places(time)
        return np.stack([world[names.index(name, first)][:3, 3] for name in JOINT_NAMES])

    def vertices(self, time: float) -> np.ndarray:
        skin = self.document["skins"][0]
        world = np.stack(self.places(time))[skin["joints"]]
        bind = self.values(skin["inverseBindMatrices"]).reshape(-1, 4, 4).swapaxes(1, 2)
        parts = self.document["meshes"][0]["primitives"][0]["attributes"]
        rest, normals = self.values(parts["POSITION"]), self.values(parts["NORMAL"])
        rest = rest + self.morphs(time)
        weights, hung = self.values(parts["WEIGHTS_0"]), self.values(parts["JOINTS_0"])
        np.testing.assert_allclose(weights.sum(1), 1, atol=1e-6)
        np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-5)
        blended = np.einsum("vk,vkij->vij", weights, (world @ bind)[hung])
        return np.einsum("vij,vj->vi", blended, np.insert(rest, 3, 1, axis=1))[:, :3]


@pytest.mark.parametrize("side", ["left", "right"])
def test_it_plays_as_it_was_recorded(recorded, tmp_path, side):
    take = recorded(side)
    save_animation(tmp_path / "a.glb", take)
    player = Player(tmp_path / "a.glb")
    for place in range(len(take)):
        time = take.times[place] - take.times[0]
        np.testing.assert_allclose(player.joints(time), take.joints[place] * Y_UP, atol=1e-5)
        np.testing.assert_allclose(player.vertices(time), take.vertices[place] * Y_UP, atol=3e-4)


def test_joints_are_where_they_were_found_whatever_the_shape(recorded, tmp_path):
    take = recorded("right", vary=1.0)
    save_animation(tmp_path / "a.glb", take)
    player = Player(tmp_path / "a.glb")
    for place in range(len(take)):
        found = player.joints(take.times[place] - take.times[0])
        np.testing.assert_allclose(found, take.joints[place] * Y_UP, atol=1e-5)


def test_quaternions_take_the_short_way(recorded, tmp_path):
    save_animation(tmp_path / "a.glb", recorded("right", frames=40))
    player = Player(tmp_path / "a.glb")
    animation = player.document["animations"][0]
    for channel in animation["channels"]:
        if channel["target"]["path"] == "rotation":
            turns = player.values(animation["samplers"][channel["sampler"]]["output"])
            assert ((turns[1:] * turns[:-1]).sum(1) > 0).all()


@pytest.mark.parametrize("side", ["left", "right"])
def test_other_programs_open_it(recorded, tmp_path, side):
    save_animation(tmp_path / "a.glb", recorded(side))
    mesh = trimesh.load(tmp_path / "a.glb", force="mesh", process=False)
    assert mesh.vertices.shape == (1769, 3) and mesh.faces.shape == (3516, 3)
    assert mesh.volume > 1e-4


def test_one_frame_is_an_animation_too(recorded, tmp_path):
    take = recorded("right", frames=1)
    save_animation(tmp_path / "a.glb", take)
    np.testing.assert_allclose(Player(tmp_path / "a.glb").joints(0), take.joints[0] * Y_UP, atol=1e-5)


def test_hands_that_were_seen_together_share_a_clock(recorded, tmp_path):
    """The left one comes in two frames later, and stands still until then."""
    right, left = recorded("right"), recorded("left", vary=0.5)
    left = replace(left, times=left.times + 2 / 15)
    save_animation(tmp_path / "a.glb", [right, left], names=["first", "second"])
    player = Player(tmp_path / "a.glb")
    roots = player.document["scenes"][0]["nodes"]
    assert [player.document["nodes"][root]["name"] for root in roots] == [
        *("first", "first_surface"),
        *("second", "second_surface"),
    ]
    for hand, take in enumerate((right, left)):
        for place in range(len(take)):
            found = player.joints(take.times[place] - right.times[0], hand)
            np.testing.assert_allclose(found, take.joints[place] * Y_UP, atol=1e-5)
    np.testing.assert_allclose(player.joints(0, 1), left.joints[0] * Y_UP, atol=1e-5)
    scene = trimesh.load(tmp_path / "a.glb", process=False)
    assert len(scene.geometry) == 2
