"""Made-up files in MANO's format: nothing of MANO is here."""

import os
import pickle
import sys
from copy import deepcopy
from io import BytesIO
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from phalanx.core.errors import InputError
from phalanx.hand import HandModel, HandPose
from phalanx.hand.anatomy import ANGLE_NAMES, angles_to_rotations
from phalanx.hand.mano import MANO_JOINTS, MANO_PARENTS, TIP_VERTICES, ManoParameters, load_mano, shape_is_mirrored
from phalanx.hand.skeleton import JOINT_NAMES, ROTATING, TIPS

MIRROR = np.array([-1.0, 1.0, 1.0])
OF_ROTATION = -MIRROR  # what mirroring x does to axis-angle vectors


class Ch:
    """Pickled as chumpy's array."""

    pickled_as = "chumpy.ch", "Ch"

    def __init__(self, x: np.ndarray) -> None:
        self.x = x
        self._dirty_vars = {"x"}
        self._itr = None
        self._depends_on_deps: dict[str, Any] = {}


class Select(Ch):
    pickled_as = "chumpy.reordering", "Select"

    def __init__(self, a: Ch, idxs: np.ndarray, preferred_shape: tuple[int, ...]) -> None:
        self.a, self.idxs, self.preferred_shape = a, idxs, preferred_shape
        self._dirty_vars = {"a", "idxs"}


class Python2Pickler(pickle._Pickler):  # type: ignore[name-defined]
    """Writes what Python 2 wrote: byte strings, and the module names of its day."""

    dispatch: ClassVar = dict(pickle._Pickler.dispatch)  # type: ignore[attr-defined]

    def save_string(self, text: str | bytes) -> None:
        raw = text if isinstance(text, bytes) else text.encode("latin1")
        if self.proto == 0:
            self.write(b"S" + repr(raw)[1:].encode() + b"\n")
        else:
            self.write(b"T" + len(raw).to_bytes(4, "little") + raw)
        self.memoize(text)

    def save_name(self, kind: Any, name: str | None = None) -> None:
        module, name = getattr(kind, "pickled_as", (kind.__module__, kind.__name__))
        old = {"builtins": "__builtin__", "copyreg": "copy_reg", "numpy._core.multiarray": "numpy.core.multiarray"}
        self.write(f"c{old.get(module, module).replace('sparse._', 'sparse.')}\n{name}\n".encode())
        self.memoize(kind)

    save_global = save_name
    dispatch |= {
        bytes: save_string,
        str: save_string,
        type: save_name,
        type(len): save_name,
        type(pickle.dumps): save_name,
    }


def python2_pickle(value: object, protocol: int) -> bytes:
    file = BytesIO()
    Python2Pickler(file, protocol).dump(value)
    return file.getvalue()


def made_up(seed: int = 0) -> dict[str, Any]:
    """A right hand of MANO's format: a plausible skeleton, everything else random."""
    rng = np.random.default_rng(seed)
    joints = np.zeros((16, 3))
    joints[0] = 0.096, 0.006, 0.006
    for finger, (x, z) in enumerate([(0.008, 0.027), (0.0, 0.003), (0.028, -0.037), (0.016, -0.02), (0.07, 0.035)]):
        direction = np.array([-1.0, 0.02, 0.05]) if finger < 4 else np.array([-0.7, -0.2, 0.7])
        for k in range(3):
            joints[1 + 3 * finger + k] = np.array([x, 0.0, z]) + 0.028 * k * direction
    owner = np.resize(np.arange(16), 778)
    template = joints[owner] + rng.normal(0, 0.006, (778, 3))
    regressor = np.zeros((16, 778))
    for joint in range(16):
        regressor[joint, owner == joint] = rng.dirichlet(np.ones((owner == joint).sum()))
    weights = rng.dirichlet(np.ones(16) * 0.3, 778)
    weights[np.arange(778), owner] += 2
    shape = rng.normal(0, 0.0005, (778, 3, 10))
    shape[:, :, 0] += 0.05 * (template - template.mean(0))
    kinds = np.stack([np.array(MANO_PARENTS), np.arange(16)]).astype(np.uint32)  # the root's parent is 2 ** 32 - 1
    return {
        "v_template": template,
        "shapedirs": shape,
        "posedirs": rng.normal(0, 0.0005, (778, 3, 135)),
        "J_regressor": regressor,
        "weights": weights / weights.sum(1, keepdims=True),
        "kintree_table": kinds,
        "f": rng.integers(0, 778, (1538, 3)).astype(np.uint32),
        "hands_components": np.linalg.qr(rng.normal(size=(45, 45)))[0],
        "hands_mean": rng.normal(0, 0.2, 45),
        "hands_coeffs": rng.normal(size=(4, 45)),
        "J": joints,
        "bs_style": "lbs",
        "bs_type": "lrotmin",
    }


def mirrored(entries: dict[str, Any]) -> dict[str, Any]:
    """The left hand of the same person; its shape components are right ones, as in MANO's own left files."""
    m, turn = MIRROR, np.tile(OF_ROTATION, 15)
    basis = entries["posedirs"].reshape(778, 3, 15, 3, 3)
    return entries | {
        "v_template": entries["v_template"] * m,
        "posedirs": np.einsum("vijab,i,a,b->vijab", basis, m, m, m).reshape(778, 3, 135),
        "hands_components": entries["hands_components"] * turn,
        "hands_mean": entries["hands_mean"] * turn,
        "f": entries["f"][:, ::-1],
    }


def as_mano_writes(entries: dict[str, Any], protocol: int = 2) -> bytes:
    from scipy import sparse

    more = np.concatenate((entries["shapedirs"], np.ones_like(entries["shapedirs"])), axis=2)  # 20 components
    first_ten = np.arange(more.size).reshape(more.shape)[:, :, :10].ravel()
    wrapped = {
        "shapedirs": Select(Ch(more), first_ten, (778, 3, 10)),
        "J_regressor": sparse.csc_matrix(entries["J_regressor"]),
        "posedirs": np.asfortranarray(entries["posedirs"]),
        "weights": Ch(entries["weights"]),
    }
    return python2_pickle(entries | wrapped, protocol)


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("mano")
    right = made_up()
    for side, entries in (("RIGHT", right), ("LEFT", mirrored(right))):
        (folder / f"MANO_{side}.pkl").write_bytes(pickle.dumps(entries))
        (folder / f"{side}_py2.pkl").write_bytes(as_mano_writes(entries))
    return {path.stem: path for path in folder.iterdir()}


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
def test_equals_slow_twin(files, name: str) -> None:
    entries = made_up() if "RIGHT" in name else mirrored(made_up())
    hand = load_mano(files[name], mend_shape=False)
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
def test_equals_smplx(files, side: str, flat: bool, components: int | None, mend: bool) -> None:
    smplx = pytest.importorskip("smplx")
    path = files[f"MANO_{side}"]
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


def test_the_model_is_a_right_hand_in_the_hand_frame(files) -> None:
    for name in ("MANO_RIGHT", "MANO_LEFT"):
        hand = load_mano(files[name])
        assert hand.side == name[5:].lower()
        model = hand.model
        torch.testing.assert_close(model.rest_joints[0], torch.zeros(3))
        knuckles, thumb = model.rest_joints[[5, 9, 13, 17]], model.rest_joints[3]
        assert (knuckles[:, 1] > 0.05).all() and (knuckles[:-1, 0] > knuckles[1:, 0]).all()
        assert thumb[0] > knuckles[0, 0] and thumb[2] > 0
        assert (model.joint_basis[0] == 0).all()
        assert model.uv.shape == (1538, 3, 2) and model.uv.min() >= 0 and model.uv.max() <= 1
        assert not (model.parts == 1).any()


def test_a_left_file_is_the_mirror_image_of_a_right_one(files) -> None:
    right, left = load_mano(files["MANO_RIGHT"]), load_mano(files["MANO_LEFT"])
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


def test_the_left_shape_fault_is_seen_and_mended(files, tmp_path) -> None:
    right = load_mano(files["MANO_RIGHT"]).model.shape_basis
    mended = load_mano(files["MANO_LEFT"]).model.shape_basis
    torch.testing.assert_close(right, mended, atol=1e-7, rtol=0)
    as_filed = load_mano(files["MANO_LEFT"], mend_shape=False).model.shape_basis
    assert (as_filed - right).abs().max() > 1e-3
    torch.testing.assert_close(load_mano(files["MANO_LEFT"], mend_shape=True).model.shape_basis, right)
    # A left file whose shape is right already is left alone, and a right one always.
    entries = mirrored(made_up())
    entries["shapedirs"] = entries["shapedirs"] * MIRROR[:, None]
    path = tmp_path / "mended.pkl"
    path.write_bytes(pickle.dumps(entries))
    torch.testing.assert_close(load_mano(path).model.shape_basis, right, atol=1e-7, rtol=0)
    assert torch.equal(load_mano(files["MANO_RIGHT"], mend_shape=True).model.shape_basis, right)


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
def test_parameters_and_poses_there_and_back(files, name: str) -> None:
    hand = load_mano(files[name])
    parameters = random_parameters(4)
    parameters.pose *= 0.5
    back = hand.from_pose(hand.to_pose(parameters))
    for field in ("betas", "translation"):
        torch.testing.assert_close(getattr(back, field), getattr(parameters, field), atol=1e-6, rtol=0)
    for field in ("pose", "orientation"):
        torch.testing.assert_close(getattr(back, field), getattr(parameters, field), atol=1e-5, rtol=0)


def test_anatomical_flexion_closes_the_hand(files) -> None:
    """Our angles mean the same on this hand: fingers flex towards the palm and abduct towards the thumb."""
    model = load_mano(files["MANO_LEFT"]).model
    pose = HandPose.zero(2)
    angles = torch.zeros(2, 23)
    angles[0, [ANGLE_NAMES.index(f"{f}_mcp_flexion") for f in ("index", "middle", "ring", "little")]] = 1.0
    angles[1, ANGLE_NAMES.index("index_mcp_abduction")] = 0.4
    pose.rotations = angles_to_rotations(angles)
    moved = model.joints(pose) - model.joints(HandPose.zero(2))
    assert (moved[0, [7, 11, 15, 19], 2] > 0.02).all() and moved[1, 7, 0] > 0.01  # DIP joints; tips are random here


def test_gradients_and_joints_without_surface(files) -> None:
    model = load_mano(files["MANO_RIGHT"]).model.double()
    hand = load_mano(files["MANO_RIGHT"]).double()
    parameters = random_parameters(1)
    pose = hand.to_pose(ManoParameters(*(getattr(parameters, f).double() for f in ManoParameters.__annotations__)))
    torch.testing.assert_close(model.joints(pose), model(pose).joints)
    inputs = [t.clone().requires_grad_() for t in (pose.rotations, pose.shape, pose.orientation, pose.translation)]

    def surface(*tensors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return model(HandPose(*tensors)).vertices[:, ::97], model.joints(HandPose(*tensors))

    assert torch.autograd.gradcheck(surface, inputs, fast_mode=True)


@pytest.mark.parametrize("protocol", [0, 1, 2])
def test_all_ways_to_write_a_file_read_alike(files, tmp_path, protocol: int) -> None:
    expected = load_mano(files["MANO_RIGHT"])
    path = tmp_path / "python2.pkl"
    path.write_bytes(as_mano_writes(made_up(), protocol))
    for (name, ours), (_, theirs) in zip(expected.named_buffers(), load_mano(path).named_buffers(), strict=True):
        assert torch.equal(ours, theirs), name


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_python_3_pickles_with_sparse_matrices(files, tmp_path, protocol: int) -> None:
    from scipy import sparse

    expected = load_mano(files["MANO_RIGHT"])
    path = tmp_path / "python3.pkl"
    for kind in (sparse.csc_matrix, sparse.csr_matrix):
        entries = made_up()
        entries["J_regressor"] = kind(entries["J_regressor"])
        entries["v_template"] = entries["v_template"].astype(">f8")
        path.write_bytes(pickle.dumps(entries | {"count": np.float64(3), "empty": np.zeros((0, 3))}, protocol))
        for (name, ours), (_, theirs) in zip(expected.named_buffers(), load_mano(path).named_buffers(), strict=True):
            assert torch.equal(ours, theirs), name


# ------------------------------------------------------------------------------------------------------ bad files


class Call:
    """Pickled as a call."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


def hostile(marker: Path) -> dict[str, bytes]:
    """Pickles that make a file `marker` when an ordinary unpickler reads them."""
    code = f"open({str(marker)!r}, 'w').close()"
    bent = pickle.dumps(made_up() | {"extra": Call(eval, code)}, 2)
    return {
        "os.system": pickle.dumps(Call(os.system, f"touch '{marker}'"), 0),
        "eval": pickle.dumps(Call(eval, code)),
        "exec in protocol 0": pickle.dumps(Call(exec, code), 0),
        "inside a MANO file": bent,
        "posix.mkdir": f"cposix\nmkdir\n(S{str(marker)!r}\ntR.".encode(),
        "instance opcode": f"(S{code!r}\ni__builtin__\neval\n.".encode(),
        "dotted name": b"\x80\x04\x8c\x05numpy\x8c\x09dtype.mro\x93\x29\x52.",
        "before the entries": pickle.dumps((Call(eval, code), made_up())),
    }


@pytest.mark.parametrize("name", list(hostile(Path("x"))))
def test_hostile_files_are_refused_and_nothing_of_them_runs(tmp_path, name: str) -> None:
    marker, path = tmp_path / "ran", tmp_path / "MANO_RIGHT.pkl"
    content = hostile(marker)[name]
    path.write_bytes(content)
    with pytest.raises(InputError, match="MANO_RIGHT.pkl: not a readable MANO file"):
        load_mano(path)
    assert not marker.exists()
    if name != "dotted name":  # the payload is live: it would have run
        pickle.loads(content)
        assert marker.exists()


def test_what_hostile_files_bend_does_not_last(tmp_path) -> None:
    """Setting attributes on what the unpickler hands out reaches neither numpy nor this process's next file."""
    path = tmp_path / "MANO_RIGHT.pkl"
    for kind in (b"numpy\nndarray", b"numpy\ndtype", b"chumpy.ch\nCh", b"numpy.core.multiarray\n_reconstruct"):
        path.write_bytes(b"\x80\x02c" + kind + b"\nN}U\x08__name__U\x04bents\x86b.")
        with pytest.raises(InputError):
            load_mano(path)
    path.write_bytes(as_mano_writes(made_up()))
    assert load_mano(path).side == "right"
    assert "bent" not in (np.ndarray.__name__, np.dtype.__name__, type(pickle.loads(pickle.dumps(np.ones(1)))).__name__)


@pytest.mark.parametrize("keep", [1, 10, 300, 5000, 0.5, 0.999])
def test_truncated(files, tmp_path, keep: float) -> None:
    content = files["RIGHT_py2"].read_bytes()
    path = tmp_path / "cut.pkl"
    path.write_bytes(content[: int(keep * len(content)) if keep < 1 else int(keep)])
    with pytest.raises(InputError, match="cut.pkl: not a readable MANO file"):
        load_mano(path)


@pytest.mark.parametrize("content", [b"hello\n", b"<html></html>", b"\x89PNG\r\n", b"PK\x03\x04", b"\x00" * 100])
def test_other_files(tmp_path, content: bytes) -> None:
    path = tmp_path / "other.pkl"
    path.write_bytes(content)
    with pytest.raises(InputError, match="other.pkl: not a readable MANO file"):
        load_mano(path)


def test_no_file(tmp_path) -> None:
    with pytest.raises(InputError, match="missing.pkl: cannot be read"):
        load_mano(tmp_path / "missing.pkl")
    with pytest.raises(InputError, match="cannot be read"):
        load_mano(tmp_path)
    (tmp_path / "empty.pkl").touch()
    with pytest.raises(InputError, match="empty.pkl: the file is empty"):
        load_mano(tmp_path / "empty.pkl")
    with (tmp_path / "large.pkl").open("wb") as file:
        file.truncate(100 << 20)
    with pytest.raises(InputError, match="large.pkl: too large"):
        load_mano(tmp_path / "large.pkl")


BAD: dict[str, tuple[Any, str]] = {
    "v_template": (np.zeros((6890, 3)), r"v_template: must have shape \(778, 3\), has \(6890, 3\)"),
    "shapedirs": (np.zeros((778, 3, 16)), "shapedirs: must have shape"),
    "posedirs": (np.full((778, 3, 135), np.nan), "posedirs: has values that are not finite"),
    "J_regressor": (np.zeros((24, 778)), "J_regressor: must have shape"),
    "weights": (np.full((778, 16), 0.5), "weights: must sum to 1"),
    "kintree_table": (np.zeros((2, 16), np.int64), "kintree_table: is not the tree"),
    "f": (np.full((1538, 3), 778), "f: must be indices"),
    "hands_components": (np.zeros((45, 48)), "hands_components: must have shape"),
    "hands_mean": ("flat", "hands_mean: not an array of numbers"),
}


@pytest.mark.parametrize("name", list(BAD))
def test_bad_entries(tmp_path, name: str) -> None:
    path = tmp_path / "bad.pkl"
    value, fault = BAD[name]
    path.write_bytes(pickle.dumps(made_up() | {name: value}))
    with pytest.raises(InputError, match=f"bad.pkl: {fault}"):
        load_mano(path)
    entries = made_up()
    del entries[name]
    path.write_bytes(pickle.dumps(entries))
    with pytest.raises(InputError, match=f"bad.pkl: not a MANO file: it has no entry {name}"):
        load_mano(path)


def test_other_faults(tmp_path) -> None:
    path = tmp_path / "bad.pkl"
    entries = made_up()
    turned = deepcopy(entries)
    turned["v_template"] = turned["v_template"][:, [1, 0, 2]]
    objects = entries | {"hands_mean": np.array([None] * 45)}
    broken = Select(Ch(np.zeros(3)), np.array([5]), (778, 3, 10))
    for value, fault in (
        ([1, 2], "holds a list instead of named entries"),
        (turned, "do not point along x"),
        (objects, "holds an array of type 'O8'"),
        (entries | {"shapedirs": broken}, "entry shapedirs is damaged"),
    ):
        path.write_bytes(python2_pickle(value, 2))
        with pytest.raises(InputError, match=f"bad.pkl: .*{fault}") as caught:
            load_mano(path)
        assert "\n" not in str(caught.value)


def test_damaged_bytes_never_surprise(files, tmp_path) -> None:
    """Whatever byte is wrong: a hand or one sentence, and no other exception."""
    content = bytearray(files["RIGHT_py2"].read_bytes())
    rng = np.random.default_rng(0)
    path = tmp_path / "damaged.pkl"
    refused = 0
    structure = [i for i in range(len(content)) if i < 400 or content[i] in b"cRbU."][:4000]
    for place in rng.choice(structure, 60, replace=False):
        damaged = content.copy()
        damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            load_mano(path)
        except InputError as error:
            assert "damaged.pkl" in str(error) and "\n" not in str(error)
            refused += 1
    assert refused > 5


def test_neither_chumpy_nor_scipy_is_needed(files, monkeypatch) -> None:
    for name in ("chumpy", "scipy", "scipy.sparse"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError):
        import scipy.sparse  # noqa: F401
    assert load_mano(files["RIGHT_py2"]).side == "right"
