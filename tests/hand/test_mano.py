"""Hands in MANO's format against MANO's equations, on made-up files: nothing of MANO is here."""

import pickle
from typing import Any

import numpy as np
import pytest
import torch
from made_up_mano import MIRROR, OF_ROTATION, made_up, mirrored

from phalanx.hand import HandModel, HandPose
from phalanx.hand.anatomy import ANGLE_NAMES, angles_to_rotations
from phalanx.hand.mano import MANO_JOINTS, MANO_PARENTS, TIP_VERTICES, ManoParameters, load_mano, shape_is_mirrored
from phalanx.hand.skeleton import JOINT_NAMES, ROTATING, TIPS


def random_parameters(batch: int, seed: int = 0) -> ManoParameters:
    rng = np.random.default_rng(seed)

    def draw(sigma: float, *shape: int) -> torch.Tensor:
        return torch.from_numpy(rng.normal(0, sigma, shape).astype(np.float32))

    return ManoParameters(draw(0.5, batch, 45), draw(1.5, batch, 10), draw(1.0, batch, 3), draw(0.3, batch, 3))


def slow_mano(entries: dict[str, Any], parameters: ManoParameters, item: int) -> tuple[np.ndarray, np.ndarray]:
    """The paper's equations, vertex by vertex: 778 vertices and MANO's 16 joints."""
    import cv2

    betas = parameters.betas[item].double().numpy()
    vectors = torch.cat((parameters.orientation[item], parameters.pose[item])).double().numpy().reshape(16, 3)
    rotations = [cv2.Rodrigues(vector)[0] for vector in vectors]
    shaped = entries["v_template"] + entries["shapedirs"] @ betas
    rest = entries["J_regressor"] @ shaped
    posed = shaped + entries["posedirs"] @ np.ravel([r - np.eye(3) for r in rotations[1:]])
    turns, places = [rotations[0]], [rest[0]]
    for joint in range(1, 16):
        parent = MANO_PARENTS[joint]
        places.append(places[parent] + turns[parent] @ (rest[joint] - rest[parent]))
        turns.append(turns[parent] @ rotations[joint])
    vertices = [
        sum(w * (r @ (v - j) + p) for w, r, j, p in zip(weights, turns, rest, places, strict=True))
        for v, weights in zip(posed, entries["weights"], strict=True)
    ]
    translation = parameters.translation[item].double().numpy()
    return np.array(vertices) + translation, np.array(places) + translation


@pytest.mark.parametrize("name", ["MANO_RIGHT", "RIGHT_py2", "MANO_LEFT", "LEFT_py2"])
def test_equals_slow_twin(mano_files, name: str) -> None:
    entries = made_up() if "RIGHT" in name else mirrored(made_up())
    hand = load_mano(mano_files[name], mend_shape=False)
    parameters = random_parameters(2)
    surface = hand(parameters)
    for item in range(2):
        vertices, joints = slow_mano(entries, parameters, item)
        np.testing.assert_allclose(surface.vertices[item].numpy(), vertices, atol=2e-6)
        np.testing.assert_allclose(surface.joints[item, list(ROTATING)].numpy(), joints[list(MANO_JOINTS)], atol=2e-6)
        np.testing.assert_allclose(surface.joints[item, list(TIPS)].numpy(), vertices[list(TIP_VERTICES)], atol=2e-6)


@pytest.mark.filterwarnings("default")  # smplx's own
@pytest.mark.parametrize("side", ["RIGHT", "LEFT"])
@pytest.mark.parametrize("flat", [True, False], ids=["flat", "mean"])
@pytest.mark.parametrize("components", [None, 6, 45], ids=["axis-angle", "6 components", "45 components"])
@pytest.mark.parametrize("mend", [False, True], ids=["as filed", "mended"])
def test_equals_smplx(mano_files, side: str, flat: bool, components: int | None, mend: bool) -> None:
    smplx = pytest.importorskip("smplx")
    path = mano_files[f"MANO_{side}"]
    layer = smplx.MANO(
        str(path),
        is_rhand=side == "RIGHT",
        use_pca=components is not None,
        num_pca_comps=components or 45,
        flat_hand_mean=flat,
    )
    if side == "LEFT" and mend:
        layer.shapedirs[:, 0] *= -1  # how users of smplx mend it
    hand = load_mano(path, mend_shape=mend)
    parameters = random_parameters(3, seed=components or 1)
    given = parameters.pose if components is None else parameters.pose[:, :components]
    # smplx takes its 45 components for axis angles (its `use_pca` goes off), we do not.
    through = components not in (None, 45)
    parameters.pose = hand.pose_from_components(given) if through else given
    if not flat:
        parameters.pose = parameters.pose + hand.mean_pose
    with torch.no_grad():
        theirs = layer(
            betas=parameters.betas,
            global_orient=parameters.orientation,
            hand_pose=given,
            transl=parameters.translation,
        )
    ours = hand(parameters)
    torch.testing.assert_close(ours.vertices, theirs.vertices, atol=1e-5, rtol=0)
    torch.testing.assert_close(ours.joints[:, list(ROTATING)], theirs.joints[:, list(MANO_JOINTS)], atol=1e-5, rtol=0)
    tips = theirs.vertices[:, list(TIP_VERTICES)]
    torch.testing.assert_close(ours.joints[:, list(TIPS)], tips, atol=1e-5, rtol=0)


def test_tables_name_the_same_fingers() -> None:
    mano = ["wrist"] + [f"{f}_{k}" for f in ("index", "middle", "little", "ring", "thumb") for k in range(3)]
    assert [mano[j].split("_")[0] for j in MANO_JOINTS] == [JOINT_NAMES[j].split("_")[0] for j in ROTATING]
    smplx = pytest.importorskip("smplx.vertex_ids")
    assert TIP_VERTICES == tuple(smplx.vertex_ids["mano"][f] for f in ("thumb", "index", "middle", "ring", "pinky"))


def test_the_model_is_a_right_hand_in_the_hand_frame(mano_files) -> None:
    for name in ("MANO_RIGHT", "MANO_LEFT"):
        hand = load_mano(mano_files[name])
        assert hand.side == name[5:].lower()
        model = hand.model
        torch.testing.assert_close(model.rest_joints[0], torch.zeros(3))
        knuckles, thumb = model.rest_joints[[5, 9, 13, 17]], model.rest_joints[3]
        assert (knuckles[:, 1] > 0.05).all() and (knuckles[:-1, 0] > knuckles[1:, 0]).all()
        assert thumb[0] > knuckles[0, 0] and thumb[2] > 0
        assert (model.joint_basis[0] == 0).all()
        assert model.uv.shape == (1538, 3, 2) and model.uv.min() >= 0 and model.uv.max() <= 1
        assert not (model.parts == 1).any()


def test_a_left_file_is_the_mirror_image_of_a_right_one(mano_files) -> None:
    right, left = load_mano(mano_files["MANO_RIGHT"]), load_mano(mano_files["MANO_LEFT"])
    for (name, ours), (_, theirs) in zip(right.model.named_buffers(), left.model.named_buffers(), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0, msg=name)
    assert torch.equal(left.faces.flip(1), right.faces)
    parameters, mirror = random_parameters(2), torch.tensor(OF_ROTATION).float()
    reflected = ManoParameters(
        (parameters.pose.unflatten(1, (15, 3)) * mirror).flatten(1),
        parameters.betas,
        parameters.orientation * mirror,
        -parameters.translation * mirror,
    )
    one, other = right(parameters), left(reflected)
    torch.testing.assert_close(one.vertices, -other.vertices * mirror, atol=1e-6, rtol=0)
    torch.testing.assert_close(one.joints, -other.joints * mirror, atol=1e-6, rtol=0)
    pose, same = right.to_pose(parameters), left.to_pose(reflected)
    torch.testing.assert_close(right.model(pose).vertices, left.model(same).vertices, atol=1e-6, rtol=0)
    for surface, hand in ((one, right), (other, left)):
        rest = hand.model.joint_positions(parameters.betas)[:, 6]  # the index finger's PIP turns with segment 6
        moved = (surface.transforms[:, 6, :3, :3] @ rest[..., None])[..., 0] + surface.transforms[:, 6, :3, 3]
        torch.testing.assert_close(moved, surface.joints[:, 6], atol=1e-6, rtol=0)


def test_the_left_shape_fault_is_seen_and_mended(mano_files, tmp_path) -> None:
    right = load_mano(mano_files["MANO_RIGHT"]).model.shape_basis
    mended = load_mano(mano_files["MANO_LEFT"]).model.shape_basis
    torch.testing.assert_close(right, mended, atol=1e-7, rtol=0)
    as_filed = load_mano(mano_files["MANO_LEFT"], mend_shape=False).model.shape_basis
    assert (as_filed - right).abs().max() > 1e-3
    torch.testing.assert_close(load_mano(mano_files["MANO_LEFT"], mend_shape=True).model.shape_basis, right)
    # A left file whose shape is right already is left alone, and a right one always.
    entries = mirrored(made_up())
    entries["shapedirs"] = entries["shapedirs"] * MIRROR[:, None]
    path = tmp_path / "mended.pkl"
    path.write_bytes(pickle.dumps(entries))
    torch.testing.assert_close(load_mano(path).model.shape_basis, right, atol=1e-7, rtol=0)
    assert torch.equal(load_mano(mano_files["MANO_RIGHT"], mend_shape=True).model.shape_basis, right)


def test_the_sign_of_a_real_population_is_seen() -> None:
    """The rule behind the mending, on components of hands that were not made up: the open hand's."""
    model = HandModel.open_hand()
    keep = model.parts != 1
    template, basis = model.template[keep].double().numpy(), model.shape_basis[keep].double().numpy()
    template, basis = template[:, [1, 2, 0]], basis[:, [1, 2, 0]]  # length along x, breadth along z
    assert not shape_is_mirrored(template, basis)
    assert shape_is_mirrored(template * MIRROR, basis)
    assert not shape_is_mirrored(template * MIRROR, basis * MIRROR[:, None])


@pytest.mark.parametrize("name", ["MANO_RIGHT", "MANO_LEFT"])
def test_parameters_and_poses_there_and_back(mano_files, name: str) -> None:
    hand = load_mano(mano_files[name])
    parameters = random_parameters(4)
    parameters.pose *= 0.5
    back = hand.from_pose(hand.to_pose(parameters))
    for field in ("betas", "translation"):
        torch.testing.assert_close(getattr(back, field), getattr(parameters, field), atol=1e-6, rtol=0)
    for field in ("pose", "orientation"):
        torch.testing.assert_close(getattr(back, field), getattr(parameters, field), atol=1e-5, rtol=0)


def test_anatomical_flexion_closes_the_hand(mano_files) -> None:
    """Our angles mean the same on this hand: fingers flex towards the palm and abduct towards the thumb."""
    model = load_mano(mano_files["MANO_LEFT"]).model
    pose = HandPose.zero(2)
    angles = torch.zeros(2, 23)
    angles[0, [ANGLE_NAMES.index(f"{f}_mcp_flexion") for f in ("index", "middle", "ring", "little")]] = 1.0
    angles[1, ANGLE_NAMES.index("index_mcp_abduction")] = 0.4
    pose.rotations = angles_to_rotations(angles)
    moved = model.joints(pose) - model.joints(HandPose.zero(2))
    assert (moved[0, [7, 11, 15, 19], 2] > 0.02).all() and moved[1, 7, 0] > 0.01  # DIP joints; tips are random here


def test_gradients_and_joints_without_surface(mano_files) -> None:
    model = load_mano(mano_files["MANO_RIGHT"]).model.double()
    hand = load_mano(mano_files["MANO_RIGHT"]).double()
    parameters = random_parameters(1)
    pose = hand.to_pose(ManoParameters(*(getattr(parameters, f).double() for f in ManoParameters.__annotations__)))
    torch.testing.assert_close(model.joints(pose), model(pose).joints)
    inputs = [t.clone().requires_grad_() for t in (pose.rotations, pose.shape, pose.orientation, pose.translation)]

    def surface(*tensors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return model(HandPose(*tensors)).vertices[:, ::97], model.joints(HandPose(*tensors))

    assert torch.autograd.gradcheck(surface, inputs, fast_mode=True)
