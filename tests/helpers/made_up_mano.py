"""Made-up files in MANO's format: nothing of MANO is here."""

import pickle
from io import BytesIO
from typing import Any, ClassVar

import numpy as np

from phalanx.hand.mano import MANO_PARENTS

MIRROR = np.array([-1.0, 1.0, 1.0])
OF_ROTATION = -MIRROR
"""What mirroring x does to axis-angle vectors."""


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
