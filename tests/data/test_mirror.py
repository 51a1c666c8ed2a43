import pytest
import torch

from phalanx.core.errors import InputError
from phalanx.data.mirror import mirrored
from phalanx.data.sample import Sample


def seen(K: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    pixels = points @ K.mT
    return pixels[..., :2] / pixels[..., 2:]


def sample() -> Sample:
    torch.manual_seed(0)
    K = torch.tensor([[[60.0, 2, 14], [0, 55, 12], [0, 0, 1]]]).repeat(2, 1, 1)
    joints = torch.tensor([0.0, 0, 0.5]) + 0.05 * torch.randn(2, 21, 3)
    motion = torch.eye(4).repeat(2, 1, 1)
    motion[:, :3, :3] = torch.linalg.qr(torch.randn(3, 3)).Q
    motion[:, :3, :3] *= torch.linalg.det(motion[0, :3, :3])
    motion[:, :3, 3] = torch.tensor([0.1, 0.2, 0.3])
    return Sample(
        image=torch.rand(2, 3, 24, 30), depth=torch.rand(2, 24, 30), joints=joints, joints_2d=seen(K, joints), K=K,
        vertices=joints[:, :7], world_to_camera=motion, valid=torch.ones(2, 21),
    )  # fmt: skip


def test_a_mirrored_sample_still_projects_and_shows_the_same_pixels():
    plain, other = sample(), mirrored(sample()).check()
    torch.testing.assert_close(seen(other.K, other.joints), other.joints_2d)
    assert torch.equal(other.image[0, :, 5, 29 - 8], plain.image[0, :, 5, 8])
    torch.testing.assert_close(other.joints_2d[..., 0], 29 - plain.joints_2d[..., 0])
    assert bool(other.left.all())
    assert float(torch.linalg.det(other.world_to_camera[0, :3, :3])) == pytest.approx(1, abs=1e-4)


def test_twice_is_nothing():
    plain, again = sample(), mirrored(mirrored(sample()))
    assert not again.left.any()
    for name, value in plain.present().items():
        torch.testing.assert_close(again.present()[name], value)


def test_the_mirrored_world_is_the_same_for_all_cameras():
    plain, other = sample(), mirrored(sample())
    point = torch.tensor([0.1, -0.2, 0.7, 1.0])
    there = plain.world_to_camera[0] @ point
    mirrored_there = other.world_to_camera[0] @ (point * torch.tensor([-1.0, 1, 1, 1]))
    torch.testing.assert_close(mirrored_there, there * torch.tensor([-1.0, 1, 1, 1]))


def test_unknown_joints_stay_zero_and_what_cannot_be_mirrored_is_refused():
    plain = sample()
    plain.valid[:, 3] = 0
    plain.joints_2d[:, 3] = 0
    plain.joints[:, 3] = 0
    other = mirrored(plain)
    assert not other.joints_2d[:, 3].any() and not other.joints[:, 3].any()
    with pytest.raises(InputError, match="rotations"):
        mirrored(Sample(rotations=torch.eye(3).expand(1, 16, 3, 3)))
    with pytest.raises(InputError, match="width"):
        mirrored(Sample(joints_2d=torch.zeros(1, 21, 2)))
