import torch

from phalanx.fit.crop import upright_crop, without_turn
from phalanx.geometry.camera import Camera
from phalanx.geometry.rotations import rotvec_to_rotmat


def turned_cameras() -> torch.Tensor:
    K = torch.tensor([[300.0, 2, 70], [0, 310, 50], [0, 0, 1]], dtype=torch.float64)
    return K @ rotvec_to_rotmat(torch.tensor([[0.0, 0, 0], [0, 0, 0.8], [0, 0, -2.5]], dtype=torch.float64))


def test_places_are_where_the_turned_camera_has_them():
    K = turned_cameras()
    crop = upright_crop(K, 128)
    places = torch.rand(3, 21, 2, dtype=torch.float64)
    rays = Camera(K, 128, 128).rays(places * 128 - 0.5) @ crop.turn.mT
    torch.testing.assert_close(crop.plane(places), rays[..., :2])
    torch.testing.assert_close(rays[..., 2], torch.ones(3, 21, dtype=torch.float64))


def test_an_upright_camera_is_not_turned():
    upright, turn = without_turn(turned_cameras())
    torch.testing.assert_close(without_turn(upright)[1], torch.eye(3, dtype=torch.float64).expand(3, 3, 3))
    torch.testing.assert_close(upright @ turn, turned_cameras())


def test_numpy_and_torch_agree(hands):
    K, places = turned_cameras(), torch.rand(3, 21, 2, dtype=torch.float64)
    ours, theirs = upright_crop(K.numpy(), 128), upright_crop(K, 128)
    for name in ("turn", "focal", "to_plane", "centre"):
        hands.close(getattr(ours, name), getattr(theirs, name))
    hands.close(ours.plane(places.numpy()), theirs.plane(places))
