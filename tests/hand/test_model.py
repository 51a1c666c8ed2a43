import numpy as np
import pytest
import torch

from phalanx.core.errors import InputError
from phalanx.hand import HandModel, HandPose
from phalanx.hand.anatomy import LIMITS, angles_to_rotations
from phalanx.hand.pose_space import GESTURE_NAMES, gestures
from phalanx.hand.skeleton import FINGERS, JOINT_NAMES, PARENTS, ROTATING, TIPS


@pytest.fixture(scope="module")
def model() -> HandModel:
    return HandModel.open_hand().double()


def random_pose(batch: int, seed: int = 0) -> HandPose:
    generator = torch.Generator().manual_seed(seed)
    low, high = LIMITS.unbind(1)
    angles = low + (high - low) * torch.rand(batch, 23, generator=generator, dtype=torch.float64)
    orientation = torch.linalg.qr(torch.randn(batch, 3, 3, generator=generator, dtype=torch.float64))[0]
    orientation = orientation * torch.linalg.det(orientation)[:, None, None]
    shape = torch.randn(batch, 10, generator=generator, dtype=torch.float64)
    translation = torch.randn(batch, 3, generator=generator, dtype=torch.float64)
    return HandPose(angles_to_rotations(angles), shape, orientation, translation)


def slow_surface(model: HandModel, pose: HandPose, item: int) -> tuple[np.ndarray, np.ndarray]:
    """Joint by joint and vertex by vertex, in plain numpy."""
    rest = (model.rest_joints + model.joint_basis @ pose.shape[item]).numpy()
    shaped = (model.template + model.shape_basis @ pose.shape[item]).numpy()
    for joint, rotation in enumerate(pose.rotations[item, 1:].numpy()):
        mixed = (rotation - np.eye(3)).reshape(9) @ model.pose_mix[9 * joint : 9 * joint + 9].numpy()
        shaped = shaped + model.pose_basis.numpy() @ mixed
    turn = {0: pose.orientation[item].numpy()}
    place = {0: pose.translation[item].numpy()}
    for joint in range(1, 21):
        parent = PARENTS[joint]
        place[joint] = place[parent] + turn[parent] @ (rest[joint] - rest[parent])
        turn[joint] = turn[parent]
        if joint in ROTATING:
            turn[joint] = turn[parent] @ pose.rotations[item, ROTATING.index(joint)].numpy()
    pivots = [0, 0] + [joint for joint in ROTATING if joint]
    turns = [turn[0], turn[0] @ pose.rotations[item, 0].numpy()] + [turn[j] for j in ROTATING if j]
    vertices = []
    for v, weights in zip(shaped, model.skin_weights.numpy(), strict=True):
        vertices.append(
            sum(w * (r @ (v - rest[p]) + place[p]) for w, r, p in zip(weights, turns, pivots, strict=True) if w)
        )
    return np.array(vertices), np.array([place[j] for j in range(21)])


def test_equals_slow_twin(model: HandModel) -> None:
    pose = random_pose(2)
    surface = model(pose)
    for item in range(2):
        vertices, joints = slow_surface(model, pose, item)
        np.testing.assert_allclose(surface.vertices[item].numpy(), vertices, atol=1e-12)
        np.testing.assert_allclose(surface.joints[item].numpy(), joints, atol=1e-12)


def test_batch_equals_single(model: HandModel) -> None:
    pose = random_pose(3)
    together = model(pose)
    for item in range(3):
        alone = model(pose[item : item + 1])
        torch.testing.assert_close(alone.vertices[0], together.vertices[item])
        torch.testing.assert_close(alone.transforms[0], together.transforms[item])


def test_transforms_carry_joints(model: HandModel) -> None:
    pose = random_pose(2)
    surface = model(pose)
    rest = model.joint_positions(pose.shape)
    for finger, joints in enumerate(FINGERS):
        for k in range(3):
            segment = surface.transforms[:, 2 + 3 * finger + k]
            for joint in joints[k : k + 2]:
                moved = (segment[:, :3, :3] @ rest[:, joint, :, None])[..., 0] + segment[:, :3, 3]
                torch.testing.assert_close(moved, surface.joints[:, joint])


def test_gradients(model: HandModel) -> None:
    pose = random_pose(1)
    picked = torch.arange(0, len(model.template), 200)

    def surface(rotations, shape, orientation, translation):
        out = model(HandPose(rotations, shape, orientation, translation))
        return out.vertices[:, picked], out.joints

    inputs = [t.clone().requires_grad_() for t in (pose.rotations, pose.shape, pose.orientation, pose.translation)]
    assert torch.autograd.gradcheck(surface, inputs, fast_mode=True)


def test_the_frozen_hand_is_sound(model: HandModel) -> None:
    weights = model.skin_weights
    torch.testing.assert_close(weights.sum(1), torch.ones(len(weights), dtype=weights.dtype), atol=1e-6, rtol=0)
    assert (weights >= 0).all()
    assert model.uv.min() >= 0 and model.uv.max() <= 1
    assert model.faces.max() < len(model.template)
    assert torch.equal(torch.unique(model.faces), torch.arange(len(model.template)))
    assert set(model.parts.tolist()) == set(range(17))
    # The hand frame: wrist at the origin, fingers straight along y, palm facing z, thumb at x > 0.
    joints = model.rest_joints
    torch.testing.assert_close(joints[0], torch.zeros(3, dtype=joints.dtype))
    for finger in FINGERS[1:]:
        bones = joints[list(finger[1:])] - joints[list(finger[:-1])]
        torch.testing.assert_close(bones[:, [0, 2]], torch.zeros(3, 2, dtype=bones.dtype), atol=1e-4, rtol=0)
    assert joints[4, 0] > joints[17, 0]
    # Faces look outwards: the enclosed volume (open only at the elbow) is positive.
    corners = model.template[model.faces]
    assert (corners[:, 0] * torch.linalg.cross(corners[:, 1], corners[:, 2])).sum() > 0


def test_proportions_are_those_of_adults(model: HandModel) -> None:
    """Bone lengths after Buryanov and Kotiuk 2010 with soft tissue, within 3 mm."""
    joints = model.rest_joints
    lengths = {JOINT_NAMES[b]: float((joints[b] - joints[PARENTS[b]]).norm()) * 1000 for b in range(1, 21)}
    expected = {"middle_mcp": 85, "index_pip": 41, "middle_pip": 46, "ring_pip": 42.5, "little_pip": 33.5}
    expected |= {"middle_dip": 28.5, "middle_tip": 22, "thumb_mcp": 46, "thumb_ip": 33, "thumb_tip": 26}
    for name, value in expected.items():
        assert abs(lengths[name] - value) < 3, (name, lengths[name])


def test_tips_lie_inside_the_finger_ends(model: HandModel) -> None:
    for joint in TIPS:
        distance = (model.template - model.rest_joints[joint]).norm(dim=1).min()
        assert 0.001 < distance < 0.009


def test_shape_moves_joints_with_their_skin(model: HandModel) -> None:
    """A knuckle stays in the middle of its finger whatever the shape."""
    shape = torch.randn(20, 10, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 1.5
    joints = model.joint_positions(shape)
    vertices = model.template + torch.einsum("vck,bk->bvc", model.shape_basis, shape)
    for finger in range(1, 5):
        pip = joints[:, 4 * finger + 2]
        near = (model.template - model.rest_joints[4 * finger + 2]).norm(dim=1) < 0.012
        middle = vertices[:, near].mean(1)
        assert (middle - pip).norm(dim=1).max() < 0.008


def volumes(model: HandModel, pose: HandPose) -> np.ndarray:
    """Of each hand (B,), cubic metres: its triangles without the forearm's, closed by a fan at the wrist."""
    faces = model.faces[(model.skin_weights[:, 1] < 0.5)[model.faces].all(1)]
    edges = torch.cat([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    _, group, count = torch.unique(edges.sort(1).values, dim=0, return_inverse=True, return_counts=True)
    border = edges[count[group] == 1]
    cap = torch.stack([border[:, 1], border[:, 0], border[:1, 0].expand(len(border))], 1)
    a, b, c = model(pose).vertices[:, torch.cat([faces, cap])].unbind(2)
    return ((a * torch.linalg.cross(b, c)).sum((1, 2)) / 6).numpy()


def gesture_pose() -> HandPose:
    angles = torch.deg2rad(torch.from_numpy(gestures()))
    pose = HandPose.zero(len(angles), dtype=torch.float64)
    pose.rotations = angles_to_rotations(angles)
    return pose


def test_gestures_keep_the_volume_of_the_hand(model: HandModel) -> None:
    rest = volumes(model, HandPose.zero(1, dtype=torch.float64))
    kept = volumes(model, gesture_pose()) / rest
    assert abs(kept - 1).max() < 0.03
    assert volumes(model.without_correctives(), gesture_pose()).min() / rest < 0.9, "what the correctives are for"


def test_correctives_leave_rest_and_joints(model: HandModel) -> None:
    plain = model.without_correctives()
    rest = HandPose.zero(1, dtype=torch.float64)
    assert torch.equal(model(rest).vertices, plain(rest).vertices)
    pose = gesture_pose()
    assert torch.equal(model(pose).joints, plain(pose).joints)
    assert model.checksum() == plain.checksum()


def test_correctives_are_small_for_spread_and_extended_fingers(model: HandModel) -> None:
    table = torch.zeros(2, 23, dtype=torch.float64)
    table[0, [8, 12, 16, 20]] = torch.tensor([13.0, -3.0, -16.0, -29.0], dtype=torch.float64)
    table[1, [7, 11, 15, 19]] = -15.0
    pose = HandPose.zero(2, dtype=torch.float64)
    pose.rotations = angles_to_rotations(torch.deg2rad(table))
    moved = (model(pose).vertices - model.without_correctives()(pose).vertices).norm(dim=2)
    assert moved.max() < 0.003 and moved.mean() < 0.0003


def test_knuckles_of_a_fist_stand_out(model: HandModel) -> None:
    """Skin over a flexed knuckle is about as far from the joint as at rest; skinning alone brings it a quarter nearer."""

    def nearest(hand: HandModel, pose: HandPose) -> torch.Tensor:
        surface = hand(pose)
        offset = surface.vertices[:, :, None] - surface.joints[:, None, [5, 9, 13, 17]]  # (1, V, 4, 3)
        top = hand.template[:, None] - hand.rest_joints[[5, 9, 13, 17]]
        over = (top[..., 2] < -0.8 * top.norm(dim=2)) & (top.norm(dim=2) < 0.02)
        return torch.where(over, offset[0].norm(dim=2), torch.inf).amin(0)

    fist = gesture_pose()[GESTURE_NAMES.index("fist") : GESTURE_NAMES.index("fist") + 1]
    rest = nearest(model, HandPose.zero(1, dtype=torch.float64))
    assert (nearest(model, fist) > 0.9 * rest).all()
    assert (nearest(model.without_correctives(), fist) < 0.85 * rest).all()


@pytest.mark.parametrize("content", [b"", b"not an archive", b"PK\x03\x04broken"])
def test_damaged_file(tmp_path, content: bytes) -> None:
    path = tmp_path / "hand.npz"
    path.write_bytes(content)
    with pytest.raises(InputError, match="hand.npz"):
        HandModel.load(path)


def test_incomplete_file(tmp_path) -> None:
    path = tmp_path / "hand.npz"
    np.savez(path, template=np.zeros((3, 3)))
    with pytest.raises(InputError, match="hand.npz"):
        HandModel.load(path)
    with pytest.raises(InputError, match="missing.npz"):
        HandModel.load(tmp_path / "missing.npz")
