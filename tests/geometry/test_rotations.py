import numpy as np
import pytest
import roma
import torch
from scipy.spatial.transform import Rotation

from phalanx.geometry.rotations import (
    rotmat_angle,
    rotmat_to_rotvec,
    rotmat_to_sixd,
    rotvec_to_rotmat,
    sixd_to_rotmat,
)
from phalanx.geometry.turns import matrix_to_rotmat, quat_to_rotmat, rotmat_to_quat


@pytest.fixture
def rotations() -> Rotation:
    return Rotation.random(40, random_state=np.random.RandomState(0))


def test_against_scipy(rotations):
    matrices = torch.from_numpy(rotations.as_matrix())
    torch.testing.assert_close(rotvec_to_rotmat(torch.from_numpy(rotations.as_rotvec())), matrices)
    torch.testing.assert_close(quat_to_rotmat(torch.from_numpy(3 * rotations.as_quat())), matrices)
    torch.testing.assert_close(rotmat_to_rotvec(matrices), torch.from_numpy(rotations.as_rotvec()))
    quaternions = rotmat_to_quat(matrices).numpy()
    assert np.abs((quaternions * rotations.as_quat()).sum(-1)).min() > 1 - 1e-12
    angles = torch.from_numpy((rotations[:20].inv() * rotations[20:]).magnitude())
    torch.testing.assert_close(rotmat_angle(matrices[:20], matrices[20:]), angles)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_against_roma(rotations, dtype):
    matrices = torch.from_numpy(rotations.as_matrix()).to(dtype).unflatten(0, (5, 8))
    vectors = torch.from_numpy(rotations.as_rotvec()).to(dtype).unflatten(0, (5, 8))
    vectors[0, :3] = torch.tensor([[0.0, 0, 0], [1e-8, 0, 0], [0, -3e-5, 2e-5]])
    same = {"atol": 1e-6 if dtype == torch.float32 else 1e-12, "rtol": 0}
    torch.testing.assert_close(rotvec_to_rotmat(vectors), roma.rotvec_to_rotmat(vectors), **same)
    matrices[0, 1:4] = rotvec_to_rotmat(vectors[0, :3])
    torch.testing.assert_close(rotmat_to_rotvec(matrices), roma.rotmat_to_rotvec(matrices), **same)
    torch.testing.assert_close(rotmat_to_quat(matrices), roma.rotmat_to_unitquat(matrices), **same)
    quaternions = roma.rotmat_to_unitquat(matrices)
    torch.testing.assert_close(quat_to_rotmat(2 * quaternions), roma.unitquat_to_rotmat(quaternions), **same)
    columns = torch.randn(5, 8, 3, 2, dtype=dtype)
    found = sixd_to_rotmat(columns.mT.flatten(-2))
    torch.testing.assert_close(found, roma.special_gramschmidt(columns, epsilon=1e-8), **same)
    angle = rotmat_angle(matrices[:2], matrices[2:4])
    wanted = roma.rotmat_geodesic_distance(matrices[:2], matrices[2:4])
    torch.testing.assert_close(angle, wanted, atol=5e-4 if dtype == torch.float32 else 1e-7, rtol=0)  # near half a turn


def test_turns_that_are_none_have_derivatives():
    nothing = torch.zeros(2, 3, requires_grad=True)
    rotvec_to_rotmat(nothing)[:, 2, 1].sum().backward()
    torch.testing.assert_close(nothing.grad, torch.tensor([[1.0, 0, 0]]).expand(2, 3))


def test_six_numbers_there_and_back(rotations):
    matrices = torch.from_numpy(rotations.as_matrix()).unflatten(0, (5, 8))
    sixd = rotmat_to_sixd(matrices)
    assert sixd.shape == (5, 8, 6)
    torch.testing.assert_close(sixd[..., :3], matrices[..., :, 0])
    torch.testing.assert_close(sixd_to_rotmat(sixd), matrices)
    stretched = torch.cat((2 * sixd[..., :3], 0.5 * sixd[..., 3:] + 0.7 * sixd[..., :3]), -1)
    torch.testing.assert_close(sixd_to_rotmat(stretched), matrices)  # Gram-Schmidt undoes scale and shear


def test_nearest_rotation(rotations):
    matrices = torch.from_numpy(rotations.as_matrix())
    stretch = torch.eye(3, dtype=torch.float64) + torch.diag(torch.tensor([0.3, -0.2, 1.0], dtype=torch.float64))
    torch.testing.assert_close(matrix_to_rotmat(matrices @ stretch), matrices)
    assert (torch.linalg.det(matrix_to_rotmat(torch.randn(50, 3, 3))) > 0.99).all()


def test_gradients():
    torch.manual_seed(0)
    vectors = torch.randn(3, 3, dtype=torch.float64, requires_grad=True)
    sixes = torch.randn(3, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(rotvec_to_rotmat, vectors)
    assert torch.autograd.gradcheck(sixd_to_rotmat, sixes)
