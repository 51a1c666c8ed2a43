import numpy as np
import torch
from scipy.spatial.transform import Rotation

from phalanx.geometry.turns import cross_matrix, matrix_to_rotmat, ray_to_rotmat, rotmat_to_euler, rotmat_to_quat


def test_ray_to_rotmat_is_the_smallest_rotation_onto_the_ray():
    rays = torch.randn(4, 25, 3, dtype=torch.float64)
    unit = torch.nn.functional.normalize(rays, dim=-1)
    found = ray_to_rotmat(rays)
    torch.testing.assert_close(found[..., :, 2], unit)
    axis = torch.linalg.cross(torch.tensor([0.0, 0, 1], dtype=torch.float64).expand_as(unit), unit)
    angle = torch.atan2(axis.norm(dim=-1), unit[..., 2])
    rotvec = torch.nn.functional.normalize(axis, dim=-1) * angle[..., None]
    torch.testing.assert_close(
        found, torch.from_numpy(Rotation.from_rotvec(rotvec.reshape(-1, 3)).as_matrix()).reshape(found.shape)
    )


def test_ray_to_rotmat_along_the_axis():
    along = torch.tensor([[0.0, 0, 2], [0, 0, -1]], dtype=torch.float64, requires_grad=True)
    found = ray_to_rotmat(along)
    torch.testing.assert_close(found[0], torch.eye(3, dtype=torch.float64))
    torch.testing.assert_close(found[1], torch.diag(torch.tensor([1.0, -1, -1], dtype=torch.float64)))
    found.sum().backward()
    assert torch.isfinite(along.grad).all()


def test_gradients():
    torch.manual_seed(0)
    vectors = torch.randn(3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(ray_to_rotmat, vectors)
    assert torch.autograd.gradcheck(ray_to_rotmat, torch.tensor([[0.0, 0, 1]], dtype=torch.float64, requires_grad=True))


def test_numpy_and_torch_agree():
    rays = torch.cat((torch.randn(20, 3, dtype=torch.float64), torch.tensor([[0.0, 0, 2], [0, 0, -1]]).double()))
    for function in (ray_to_rotmat, cross_matrix):
        found = function(rays.numpy())
        assert isinstance(found, np.ndarray) and found.shape == (22, 3, 3)
        np.testing.assert_allclose(found, function(rays), atol=1e-10)
    assert cross_matrix(rays[0].numpy().astype(np.float32)).dtype == np.float32


def test_rotations_of_arrays_in_other_forms():
    turned = Rotation.random(60, random_state=np.random.RandomState(3))
    matrices = turned.as_matrix()
    np.testing.assert_allclose(rotmat_to_euler(matrices), turned.as_euler("ZXY"), atol=1e-12)
    found = rotmat_to_quat(matrices.reshape(6, 10, 3, 3)).reshape(60, 4)
    np.testing.assert_allclose(np.abs((found * turned.as_quat()).sum(-1)), 1, atol=1e-12)
    np.testing.assert_array_equal(found, rotmat_to_quat(torch.from_numpy(matrices)).numpy())


def test_euler_angles_where_two_axes_are_one():
    angles = np.stack(np.meshgrid([0.0, 0.7], [-90.0, 90.0], [0.0, -0.4]), axis=-1).reshape(-1, 3) * [1, np.pi / 180, 1]
    matrices = Rotation.from_euler("ZXY", angles).as_matrix()
    found = rotmat_to_euler(matrices)
    assert (found[:, 2] == 0).all()
    np.testing.assert_allclose(Rotation.from_euler("ZXY", found).as_matrix(), matrices, atol=1e-7)


def test_nearest_rotation_of_arrays_as_of_tensors():
    matrices = np.random.default_rng(4).normal(size=(50, 3, 3))
    found = matrix_to_rotmat(matrices)
    np.testing.assert_allclose(found, matrix_to_rotmat(torch.from_numpy(matrices)).numpy(), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(found), 1, atol=1e-12)
