"""Whether the error was lowered: figures of frames without labels, and what is made of them."""

import pytest
import torch

from phalanx.adapt.report import _apart, _palms, hold_back, measure, verdict
from phalanx.data.cube_views import CubeViews
from phalanx.geometry.cubes import EXTENT
from phalanx.geometry.rotations import rotvec_to_rotmat
from phalanx.hand.model import HandModel, HandPose
from phalanx.hand.spheres import RADII, sphere_centres
from phalanx.render.spheres import sphere_depth

GOOD = {"fit_error_mm": 4.0, "agreement_percent": 80.0, "turned_percent": 5.0, "from_finder_mm": 20.0}
BAD = {"fit_error_mm": 8.0, "agreement_percent": 60.0, "turned_percent": 5.0, "from_finder_mm": 25.0}


class Knowing(torch.nn.Module):
    """Gives the true spheres of the maps that it was made for, all moved by so much."""

    radii = torch.zeros(41)

    def __init__(self, centres, off=(0.0, 0.0, 0.0)):
        super().__init__()
        self.centres = centres + torch.tensor(off)

    def forward(self, maps):
        return self.centres[: len(maps)]


@pytest.fixture(scope="module")
def seen():
    """Four frames of drawn spheres by two cameras at the same place; the joints and spheres of each map."""
    pose = HandPose.zero(8)
    pose.orientation = torch.diag(torch.tensor([1.0, -1.0, -1.0])).expand(8, 3, 3)
    joints = HandModel.open_hand().joints(pose)
    joints = joints - joints.mean(1, keepdim=True)
    centres = sphere_centres(joints)
    maps = sphere_depth(centres, torch.tensor(RADII), 64, EXTENT)
    still = torch.eye(4).repeat(4, 2, 1, 1)
    views = CubeViews(maps.unflatten(0, (4, 2)), still, torch.zeros(4, 2, 3))
    return views, joints.unflatten(0, (4, 2)), centres


def test_spheres_where_they_are_and_elsewhere(seen):
    views, joints, centres = seen
    right = measure(Knowing(centres), views, joints)
    assert right["fit_error_mm"] < 0.1 and right["agreement_percent"] > 99
    assert right["turned_percent"] == 0 and right["apart_mm"] < 1e-3
    assert measure(Knowing(centres), views, joints + 0.01)["from_finder_mm"] == pytest.approx(300**0.5, abs=1.0)
    assert right["from_finder_mm"] < 5
    wrong = measure(
        Knowing(centres, (0.0, 0.0, 0.02)), views, joints @ rotvec_to_rotmat(torch.tensor([0.0, 2.0, 0.0])).mT
    )
    assert wrong["fit_error_mm"] == pytest.approx(20, abs=0.5) and wrong["agreement_percent"] < 1
    assert wrong["turned_percent"] == 100
    one = CubeViews(views.maps[:, :1], views.to_first[:, :1], views.middles[:, :1])
    assert "apart_mm" not in measure(Knowing(centres), one, joints[:, :1])
    away = views.map(torch.clone)
    away.to_first[:, 1, 0, 3] = 0.02
    assert measure(Knowing(centres), away, joints)["apart_mm"] == pytest.approx(10, abs=1e-2)


def test_palms_are_compared_by_their_angle(seen):
    _, joints, _ = seen
    turn = rotvec_to_rotmat(torch.tensor([0.3, 0.5, -0.2]))
    angle = torch.rad2deg(torch.tensor([0.3, 0.5, -0.2]).norm())
    assert torch.allclose(_apart(_palms(joints), _palms(joints @ turn.mT)), angle, atol=0.1)


def test_the_last_frames_are_held_back_where_there_are_enough():
    assert hold_back(15) == (list(range(15)), [])
    assert hold_back(80) == (list(range(70)), list(range(70, 80)))


def test_what_is_lowered_and_what_is_not_is_said_with_its_reasons():
    def said(before, after, learnt=(8.0, 4.0), synthetic=(18.0, 18.0), frames=200, held=25, unsure=0, seen=20_000):
        lowered, lines = verdict(before, after, learnt, synthetic, frames, held, unsure, seen)
        return lowered, " | ".join(lines)

    lowered, lines = said(BAD, GOOD)
    assert lowered and lines == (
        "lowered: on 25 frames that were not trained on, spheres and depth differ by 8.0 mm before and 4.0 mm after, and 60 and 80 % of "
        "the spheres' surface lie within 1 cm of it | "
        "joints lie 25.0 mm from where the finder of hands sees them before and 20.0 mm after"
    )
    away = "23.0 mm after, not a tenth nearer: 5 % of the hands may be taken for turned ones, which fitting does not turn back"
    still = GOOD | {"from_finder_mm": 23.0}
    assert said(BAD, still)[1].endswith(f"{away}; one view does not show where hidden joints are")
    assert said(BAD | {"apart_mm": 9.0}, still | {"apart_mm": 9.0})[1].endswith(away)
    assert (
        "only 576 maps were trained on, give more --minutes; 20 frames are few"
        in said(BAD, still, seen=576, frames=20)[1]
    )
    sound = {"turned_percent": 0.0, "apart_mm": 9.0}
    assert said(BAD | sound, still | sound)[1].endswith("not a tenth nearer: no reason is known")
    for arguments, words in (
        ({"learnt": (8.0, 7.9)}, "why: no reason is known"),
        ({"learnt": (8.0, 7.9), "seen": 576}, "why: only 576 maps were trained on, give more --minutes"),
        ({}, "from 8.0 to 4.0 mm: those held back show something else"),
        ({"learnt": (8.0, 7.9), "frames": 20, "held": 2}, "20 frames are few"),
    ):
        lowered, lines = said(BAD, BAD, **arguments)
        assert not lowered and lines.startswith("not lowered: on ") and words in lines
    assert "4.0 mm is about what a sensor's noise" in said(GOOD, GOOD)[1]
    assert not said(BAD, GOOD | {"agreement_percent": 50.0})[0]
    assert "on the frames that were trained on, too few to hold any back" in said(BAD, GOOD, held=0)[1]
    assert (
        "30 % of the hands (5 % before) may be taken for turned ones" in said(BAD, GOOD | {"turned_percent": 30.0})[1]
    )
    assert "60 of 200 frames look more like the other hand: give --side" in said(BAD, GOOD, unsure=60)[1]
    assert "joints are 18.0 mm off before and 25.0 mm after" in said(BAD, GOOD, synthetic=(18.0, 25.0))[1]
    assert (
        "cameras see a joint 9.0 mm from its mean before and 6.0 mm"
        in said(BAD | {"apart_mm": 9.0}, GOOD | {"apart_mm": 6.0})[1]
    )
