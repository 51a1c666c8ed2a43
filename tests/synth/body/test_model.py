"""The open body: its frozen file is sound, and it is posed, shaped and mirrored as its contract says."""

from pathlib import Path

import numpy as np
import pytest
import roma
import torch
from torch import Tensor

from phalanx.core.errors import InputError
from phalanx.synth.body.model import (
    EXPRESSIONS,
    JOINT,
    JOINT_NAMES,
    MIRRORED,
    PARENTS,
    REGIONS,
    BodyModel,
    BodyPose,
)

FLIP = torch.diag(torch.tensor([-1.0, 1.0, 1.0]))
TRUNK = [JOINT[name] for name in ("pelvis", "lumbar", "thorax", "chest")]


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return BodyModel.open_body()


def random_pose(body: BodyModel, count: int, angle: float = 0.5) -> BodyPose:
    generator = torch.Generator().manual_seed(5)

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, generator=generator)

    return BodyPose(
        roma.rotvec_to_rotmat(angle * normal(count, len(PARENTS), 3)),
        normal(count, body.shape_basis.shape[2]),
        torch.rand(count, len(EXPRESSIONS), generator=generator),
        roma.rotvec_to_rotmat(normal(count, 3)),
        normal(count, 3),
        torch.rand(count, generator=generator) + 0.5,
    )


def below(joint: int) -> list[int]:
    """A joint and all that hangs on it."""
    found = [joint]
    for number in range(joint + 1, len(PARENTS)):
        if PARENTS[number] in found:
            found.append(number)
    return found


def test_rest_is_the_template_with_the_neck_at_the_origin(body: BodyModel) -> None:
    surface = body(body.rest_pose(2))
    torch.testing.assert_close(surface.vertices, body.template.expand(2, -1, -1), atol=1e-6, rtol=0)
    torch.testing.assert_close(surface.joints, body.rest_joints.expand(2, -1, -1), atol=1e-6, rtol=0)
    assert surface.joints[:, JOINT["neck"]].abs().max() < 1e-7
    torch.testing.assert_close(surface.transforms, torch.eye(4).expand(2, 26, 4, 4), atol=1e-6, rtol=0)


def test_surface_and_joints_agree_with_an_outside_computation(body: BodyModel) -> None:
    pose = random_pose(body, 2)
    surface = body(pose)
    for b in range(2):
        single = pose[b : b + 1].map(lambda value: value.double())
        shape, expression = single.shape[0].numpy(), single.expression[0].numpy()
        rest = body.rest_joints.double().numpy() + body.joint_basis.double().numpy() @ shape
        skin = body.template.double().numpy() + body.shape_basis.double().numpy() @ shape
        skin = skin + body.expression_basis.double().numpy() @ expression
        world = []
        for joint, parent in enumerate(PARENTS):
            local = np.eye(4)
            local[:3, :3] = single.rotations[0, joint].numpy()
            local[:3, 3] = rest[joint] - (rest[parent] if parent >= 0 else 0)
            world.append(local if parent < 0 else world[parent] @ local)
        neck = world[JOINT["neck"]][:3, 3]
        placed = np.eye(4)
        placed[:3, :3] = single.orientation[0].numpy() * single.scale[0].item()
        placed[:3, 3] = single.translation[0].numpy() - placed[:3, :3] @ neck
        world = [placed @ matrix for matrix in world]
        moved = np.zeros_like(skin)
        for joint, matrix in enumerate(world):
            moved += body.skin_weights[:, joint, None].double().numpy() * (
                (skin - rest[joint]) @ matrix[:3, :3].T + matrix[:3, 3]
            )
        np.testing.assert_allclose(surface.vertices[b].numpy(), moved, atol=1e-5)
        np.testing.assert_allclose(surface.joints[b].numpy(), np.stack([m[:3, 3] for m in world]), atol=1e-5)
    torch.testing.assert_close(body.joints(pose), surface.joints)
    torch.testing.assert_close(surface.joints[:, JOINT["neck"]], pose.translation, atol=1e-5, rtol=0)


def test_batch_equals_single(body: BodyModel) -> None:
    pose = random_pose(body, 3)
    together = body(pose)
    for b in range(3):
        alone = body(pose[b : b + 1])
        torch.testing.assert_close(alone.vertices[0], together.vertices[b], atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", [name for i, name in enumerate(JOINT_NAMES) if i not in TRUNK and "wrist" not in name])
def test_a_joint_moves_only_what_hangs_on_it(body: BodyModel, name: str) -> None:
    pose = body.rest_pose(1)
    pose.rotations[0, JOINT[name]] = roma.rotvec_to_rotmat(torch.tensor([0.3, -0.4, 0.5]))
    surface = body(pose)
    own = below(JOINT[name])
    still = body.skin_weights[:, own].sum(1) == 0
    moved = (surface.vertices[0] - body.template).norm(dim=1)
    assert moved[still].max() < 1e-6
    assert moved[~still].max() > 0.002
    others = [i for i in range(len(PARENTS)) if i not in own[1:]]
    torch.testing.assert_close(surface.joints[0, others], body.rest_joints[others], atol=1e-6, rtol=0)


def test_turning_a_forearm_leaves_the_wrist_where_it_is(body: BodyModel) -> None:
    for side in ("right", "left"):
        pose = body.rest_pose(1)
        axis = body.rest_joints[JOINT[f"{side}_wrist"]] - body.rest_joints[JOINT[f"{side}_elbow"]]
        pose.rotations[0, JOINT[f"{side}_forearm"]] = roma.rotvec_to_rotmat(1.2 * axis / axis.norm())
        torch.testing.assert_close(body.joints(pose)[0], body.rest_joints, atol=1e-5, rtol=0)


def test_sides_mirror_each_other(body: BodyModel) -> None:
    torch.testing.assert_close(body.template[body.mirror], body.template @ FLIP, atol=1e-6, rtol=0)
    torch.testing.assert_close(body.skin_weights[body.mirror][:, list(MIRRORED)], body.skin_weights, atol=1e-6, rtol=0)
    pose = random_pose(body, 2)
    pose.expression[:, EXPRESSIONS.index("mouth_aside")] = 0.0
    other = BodyPose(
        FLIP @ pose.rotations[:, list(MIRRORED)] @ FLIP,
        pose.shape,
        pose.expression,
        FLIP @ pose.orientation @ FLIP,
        pose.translation @ FLIP,
        pose.scale,
    )
    one, two = body(pose), body(other)
    torch.testing.assert_close(two.joints[:, list(MIRRORED)], one.joints @ FLIP, atol=2e-5, rtol=0)
    torch.testing.assert_close(two.vertices[:, body.mirror], one.vertices @ FLIP, atol=1e-3, rtol=0)


def edges_of(body: BodyModel) -> tuple[Tensor, Tensor]:
    """Edges (N, 2) and how many faces each has."""
    faces = body.faces
    edges = torch.cat([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    return torch.unique(edges.sort(1).values, dim=0, return_counts=True)


def test_the_frozen_body_is_sound(body: BodyModel) -> None:
    assert 3000 <= len(body.faces) <= 5000
    torch.testing.assert_close(body.skin_weights.sum(1), torch.ones(len(body.template)), atol=1e-5, rtol=0)
    assert (body.skin_weights >= 0).all()
    assert body.skin_weights[:, [JOINT["right_wrist"], JOINT["left_wrist"]]].max() == 0
    assert torch.equal(torch.unique(body.faces), torch.arange(len(body.template)))
    edges, count = edges_of(body)
    assert count.max() == 2
    # Open only at the wrists and behind the eyes.
    ends = edges[count == 1].unique()
    wrists = body.rest_joints[[JOINT["right_wrist"], JOINT["left_wrist"]]]
    near = torch.cdist(body.template[ends], wrists).amin(1) < 0.08
    assert near.sum() >= 12 and (body.regions[ends[~near]] > 0).all()
    a, b, c = body.template[body.faces].unbind(1)
    assert (a * torch.linalg.cross(b, c)).sum() / 6 > 0.04  # cubic metres: faces look outwards
    assert set(body.regions.tolist()) == set(range(len(REGIONS)))
    # Feet below, face in front, the person's left at x > 0.
    assert body.rest_joints[JOINT["right_ankle"], 1] > 1.0
    assert body.rest_joints[JOINT["left_shoulder"], 0] > 0.1
    nose = body.template[(body.parts == JOINT["head"])][:, 2].amin()
    assert nose < body.rest_joints[JOINT["head"], 2] - 0.08


def test_texture_coordinates_unfold_the_surface(body: BodyModel) -> None:
    assert body.uv.min() >= 0 and body.uv.max() <= 1
    one, two = body.uv[:, 1] - body.uv[:, 0], body.uv[:, 2] - body.uv[:, 0]
    area = one[:, 0] * two[:, 1] - one[:, 1] * two[:, 0]
    assert (area != 0).all()
    # Faces of one piece of texture lie on the same side of it, and none bridges two pieces: no texture is stretched over 6 times.
    a, b, c = body.template[body.faces].unbind(1)
    real = torch.linalg.cross(b - a, c - a).norm(dim=1)
    skin = (body.regions[body.faces] == 0).all(1) & (real > 2e-6)
    ratio = (area.abs() / real)[skin].sqrt()
    assert ratio.max() / ratio.median() < 6


def test_drawn_bodies_are_people(body: BodyModel) -> None:
    shape = torch.randn(200, body.shape_basis.shape[2], generator=torch.Generator().manual_seed(2))
    surface = body.shaped(shape, shape.new_zeros(200, len(EXPRESSIONS)))
    height = surface[..., 1].amax(1) - surface[..., 1].amin(1)
    assert 1.6 < height.mean() < 1.76 and 0.08 < height.std() < 0.16
    assert height.min() > 1.15 and height.max() < 2.15
    lengths = body.bone_lengths(shape)
    for name, low, high in (("elbow", 0.2, 0.36), ("wrist", 0.1, 0.25), ("knee", 0.25, 0.52), ("ankle", 0.27, 0.6)):
        for side in ("right", "left"):
            bone = lengths[:, JOINT[f"{side}_{name}"]]
            assert low < bone.min() and bone.max() < high, (name, bone.min(), bone.max())
    # Joints stay inside their limbs: the middle of the skin about each knee is near it.
    joints = body.joint_positions(shape)
    near = (body.template - body.rest_joints[JOINT["right_knee"]]).norm(dim=1) < 0.075
    assert (surface[:, near].mean(1) - joints[:, JOINT["right_knee"]]).norm(dim=1).max() < 0.06


def test_expressions_move_the_face_alone(body: BodyModel) -> None:
    still = body.skin_weights[:, [JOINT["head"], JOINT["neck"], JOINT["right_eye"], JOINT["left_eye"]]].sum(1) < 0.5
    assert body.expression_basis[still].abs().max() < 0.002
    most = body.expression_basis.norm(dim=1).amax(0)
    assert (most > 0.003).all() and (most < 0.05).all()


@pytest.mark.parametrize("angle", [-50, 40, 90])
def test_raised_arms_stretch_no_face(body: BodyModel, angle: float) -> None:
    """Arms hanging (-50 degrees from rest), level and far above the head: edges stay below three times their length."""
    pose = body.rest_pose(1)
    for side, sign in (("right", 1.0), ("left", -1.0)):
        turn = sign * np.deg2rad(angle)
        pose.rotations[0, JOINT[f"{side}_shoulder"]] = roma.rotvec_to_rotmat(torch.tensor([0, 0, 0.7 * turn]).float())
        pose.rotations[0, JOINT[f"{side}_collar"]] = roma.rotvec_to_rotmat(torch.tensor([0, 0, 0.3 * turn]).float())
    edges, _ = edges_of(body)
    rest = (body.template[edges[:, 0]] - body.template[edges[:, 1]]).norm(dim=1)
    surface = body(pose).vertices[0]
    now = (surface[edges[:, 0]] - surface[edges[:, 1]]).norm(dim=1)
    assert ((now + 0.004) / (rest + 0.004)).max() < 3.0


def test_the_checksum_names_this_body(body: BodyModel) -> None:
    assert body.checksum() == "24ff1fe2991be160e8a319d62069cf6d3a11554762b4fa8d6371cea3cd41d39f"
    other = BodyModel.open_body()
    other.template[0, 0] += 1e-3
    assert other.checksum() != body.checksum()


def test_a_broken_file_is_refused_in_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "body.npz"
    with pytest.raises(InputError, match="body.npz is not a readable body model"):
        BodyModel.load(path)
    path.write_bytes(b"no body")
    with pytest.raises(InputError, match="body.npz is not a readable body model"):
        BodyModel.load(path)
