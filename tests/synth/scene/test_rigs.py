import json

import numpy as np
import pytest
import torch

from phalanx.core.errors import InputError
from phalanx.core.seeding import generator
from phalanx.synth import SynthConfig, make_chunk
from phalanx.synth.paint.dress import draw_dress
from phalanx.synth.paint.light import draw_light, turned
from phalanx.synth.scene.rigs import PRESETS, Rig, load_rig, looking_at, ring, stereo
from phalanx.synth.scene.views import draw_views
from phalanx.synth.shots import project


@pytest.mark.parametrize("name", [*PRESETS, "ring3"])
def test_every_camera_sees_the_same_hand_in_its_middle(name, model, in_world):
    rig = load_rig(name)
    views = draw_views(generator(5, 0), model, 20, rig, 128)
    assert len(views.hand) == 20 * len(rig) and (np.bincount(views.hand) == len(rig)).all()
    joints = model.joints(views.pose)
    world = in_world(joints, views.world_to_camera).view(20, len(rig), 21, 3)
    assert (world - world[:, :1]).abs().max() < 1e-5
    palm = 0.5 * (world[:, 0, 0] + world[:, 0, 9])
    assert (palm - torch.from_numpy(rig.spot)).norm(dim=-1).max() < rig.reach + 0.06
    pixels = project(joints, views.K)
    low, high = pixels.amin(1), pixels.amax(1)
    assert (low > 0).all() and (high < 127).all()  # all joints in the crop
    fill = (high - low).amax(1) / 128
    assert fill.min() > 0.6 and fill.max() < 0.9


def test_stereo_pictures_differ_by_the_disparity():
    rig = stereo()
    point = np.array([0.05, 0.02, 0.6, 1.0])
    left, right = (K @ (m @ point)[:3] for K, m in zip(rig.K, rig.world_to_camera, strict=True))
    left, right = left / left[2], right / right[2]
    assert left[0] - right[0] == pytest.approx(822.79041 * 0.120054 / 0.6) and left[1] == pytest.approx(right[1])


def test_five_views_are_front_back_sides_and_top(model):
    """Upright hands with their palm to the first camera, give or take 45 degrees about each axis."""
    rig = load_rig("five_views")
    views = draw_views(generator(1, 0), model, 300, rig, 128)
    towards = -torch.nn.functional.normalize(views.pose.translation, dim=-1)
    palm = (views.pose.orientation[:, :, 2] * towards).sum(-1).view(300, 5).mean(0)
    fingers = (views.pose.orientation[:, :, 1] * towards).sum(-1).view(300, 5).mean(0)
    assert palm[0] > 0.6 and palm[1] < -0.6 and palm[2:4].abs().max() < 0.2
    assert fingers[4] > 0.6 and fingers[:4].abs().max() < 0.2


def test_a_chunk_of_a_rig(in_world):
    config = SynthConfig(size=32, chunk=10, tiles=8, skins=2, rig="ring4")
    sample = make_chunk(config, 3, 2).check()
    assert len(sample) == 8 and sample.ids.tolist() == [[4 + i // 4, 0, i % 4] for i in range(8)]
    again = make_chunk(config, 3, 2)
    for name, value in sample.present().items():
        assert torch.equal(value, again.present()[name]), name
    surface = in_world(sample.vertices, sample.world_to_camera).view(2, 4, -1, 3)
    assert (surface - surface[:, :1]).abs().max() < 1e-5
    assert not torch.equal(sample.image[0], sample.image[1])
    # what the depth maps say lies on the surface, seen from any camera
    row, column = np.argwhere(sample.depth[0].numpy() > 0).T
    ray = torch.tensor(np.stack([column, row, np.ones(len(row))], 1)) @ torch.linalg.inv(sample.K[0].double()).mT
    points = in_world((ray * sample.depth[0, row, column, None])[None], sample.world_to_camera[:1])[0]
    distance = torch.cdist(points, surface[0, 1]).amin(1)
    assert distance.quantile(0.9) < 0.012


def test_more_views_than_a_chunk_holds_still_make_one_hand():
    sample = make_chunk(SynthConfig(size=32, chunk=2, tiles=4, skins=1, rig="ring5"), 0, 0)
    assert sample.ids[:, 2].tolist() == [0, 1, 2, 3, 4]


def test_light_turns_with_the_camera():
    draw = draw_light(generator(0, 0), 6)
    turn = np.stack(
        [
            looking_at(np.array(p, float), np.zeros(3), np.array([0, -1.0, 0]))[:3, :3]
            for p in [(0, 0, -1), (1, 0, 0), (0, 0, 1), (-1, 0, 0), (1, 1, 1), (1, -1, 1)]
        ]
    )
    seen = turned(draw, turn)
    np.testing.assert_allclose(np.linalg.norm(seen.direction, axis=-1), 1, atol=1e-5)
    normal = np.random.default_rng(0).normal(size=(6, 3))
    normal_seen = (turn @ normal[..., None])[..., 0]

    def lit(draw, normals):
        return (draw.ambient[:, :, 1:] @ normals[..., None])[..., 0], (draw.direction @ normals[..., None])[..., 0]

    for before, after in zip(lit(draw, normal), lit(seen, normal_seen), strict=True):
        np.testing.assert_allclose(before, after, atol=1e-5)


def test_views_of_a_hand_wear_the_same():
    draw = draw_dress(generator(2, 0), 40)
    of = np.repeat(np.arange(40), 3)
    spread = draw[of]
    assert draw.items and len(spread.items) == 3 * len(draw.items)
    assert {(of[picture], id(item)) for picture, item in spread.items} == {(p, id(item)) for p, item in draw.items}
    np.testing.assert_array_equal(spread.edge, draw.edge[of])


def rig_file(tmp_path, **changes):
    rig = ring(3)
    data = {
        "width": 512,
        "height": 512,
        "spot": [0, 0, 0],
        "cameras": [
            {"K": K.tolist(), "world_to_camera": m.tolist()} for K, m in zip(rig.K, rig.world_to_camera, strict=True)
        ],
    }
    path = tmp_path / "rig.json"
    path.write_text(json.dumps(data | changes))
    return path, data


def test_a_rig_of_ones_own(tmp_path):
    path, _ = rig_file(tmp_path, reach=0.1)
    rig = load_rig(str(path))
    np.testing.assert_allclose(rig.world_to_camera, ring(3).world_to_camera)
    assert rig.reach == 0.1 and rig.turn is None


def test_bad_rigs_are_one_sentence(tmp_path):
    _, data = rig_file(tmp_path)
    camera = data["cameras"][0]

    def cameras(**changes):
        return {"cameras": [camera, camera | changes]}

    mirrored = np.diag([-1.0, 1, 1, 1]) @ np.array(camera["world_to_camera"])
    behind = np.array(camera["world_to_camera"])
    behind[2, 3] *= -1
    far = np.array(camera["world_to_camera"])
    far[:3, 3] *= 1000  # millimetres
    for number, (changes, says) in enumerate(
        [
            (cameras(K=np.zeros((3, 3)).tolist()), "camera 1: K: the camera matrix is singular"),
            (cameras(K=[[500, 0], [0, 500]]), "camera 1: K: must have shape"),
            (cameras(world_to_camera=np.ones((4, 4)).tolist()), "camera 1: world_to_camera is not a rotation"),
            (cameras(world_to_camera=mirrored.tolist()), "camera 1: world_to_camera is not a rotation"),
            (cameras(world_to_camera=behind.tolist()), "camera 1 does not see the spot"),
            (cameras(world_to_camera=[[float("nan")] * 4] * 4), "not finite"),
            ({"cameras": []}, "one K and one world_to_camera for each camera"),
            ({"spot": [0, 0]}, "spot: must have shape"),
            ({"spot": [9, 9, 9]}, "camera 0 does not see the spot"),
            ({"width": 0}, "must be positive"),
            ({"reach": -1}, "must be positive"),
            ({"cameras": [{"K": camera["K"]}]}, "camera 0: world_to_camera is missing"),
            ({"cameras": 7}, "cameras must be a list of objects"),
            ({"cameras": [7]}, "camera 0: must be an object of K, world_to_camera"),
            (cameras(distortion=[0.1]), "camera 1: 'distortion' is none of K, world_to_camera, name"),
            ({"colour": 1}, "is not a rig: 'colour' is none of width, height, spot, cameras, reach, turn"),
            ({"width": 1e400}, "width must be a whole number of pixels, not inf"),
            ({"width": "wide"}, "width must be a number, not 'wide'"),
            ({"turn": "x"}, "turn must be a number, not 'x'"),
            ({"turn": float("inf")}, "turn must be 0 to 180 degrees, not inf"),
            ({"turn": -3}, "turn must be 0 to 180"),
            (cameras(K=[1e-300, 1e-300, 256, 256]), "camera 1 sees a hand at the spot"),
            (cameras(world_to_camera=far.tolist()), "pixels large .are lengths in metres"),
        ]
    ):
        path = tmp_path / f"bad{number}.json"
        path.write_text(json.dumps(data | changes))
        with pytest.raises(InputError, match=says) as caught:
            load_rig(str(path))
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    (tmp_path / "text.json").write_text("[}")
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(InputError, match=r"text\.json: is not a JSON file"):
        load_rig(str(tmp_path / "text.json"))
    with pytest.raises(InputError, match=r"list\.json: is not a rig: must be an object"):
        load_rig(str(tmp_path / "list.json"))
    with pytest.raises(
        InputError,
        match=r"nine: neither a rig \(ring8, stereo, five_views, upright4, upright_stereo\) nor a readable file",
    ):
        load_rig("nine")
    with pytest.raises(InputError, match="views: must lie between 1 and 64, not 99"):
        load_rig("ring99")


def test_rig_needs_as_many_extrinsics_as_intrinsics():
    rig = ring(2)
    with pytest.raises(InputError, match="not 2 and 1"):
        Rig(rig.K, rig.world_to_camera[:1], 512, 512, np.zeros(3))


def test_pictures_of_one_camera_are_numbered_as_of_several():
    sample = make_chunk(SynthConfig(size=32, chunk=4, rig="ring1", tiles=2, skins=1), 3, 2)
    assert sample.ids.tolist() == [[8, 0, 0], [9, 0, 0], [10, 0, 0], [11, 0, 0]]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"width": 640.7}, "width must be a whole number of pixels, not 640.7"),
        ({"cameras": "two"}, "cameras must be a list of objects"),
        ({"cameras": [3]}, "camera 0: must be an object of K"),
    ],
)
def test_rig_files_of_another_form_are_refused(tmp_path, change, fault):
    camera = {"K": [600, 600, 320, 240], "world_to_camera": np.eye(4).tolist()}
    path = tmp_path / "rig.json"
    path.write_text(json.dumps({"width": 640, "height": 480, "spot": [0, 0, 0.6], "cameras": [camera]} | change))
    with pytest.raises(InputError, match=fault):
        load_rig(str(path))


def test_upright_hands_and_one_person(model):
    rig = load_rig("upright4")
    assert len(rig) == 4 and rig.turn == 45 and rig.person is None
    alone, other = load_rig("upright_stereo@7"), load_rig("stereo@8")
    assert (alone.person, alone.turn, other.person, other.turn) == (7, 45, 8, None)
    shapes = []
    for rig in (alone, other):
        for seed in (0, 1):
            shapes.append(draw_views(generator(seed), model, 3, rig, 64).pose.shape)
    assert all(torch.equal(shape, shape[:1].expand_as(shape)) for shape in shapes)
    assert torch.equal(shapes[0], shapes[1]) and torch.equal(shapes[2], shapes[3])
    assert not torch.equal(shapes[0], shapes[2])
    with pytest.raises(InputError, match="neither a rig"):
        load_rig("stereo@")
