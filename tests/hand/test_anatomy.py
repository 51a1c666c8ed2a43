import pytest
import roma
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from phalanx.core.errors import InputError
from phalanx.hand import HandModel, HandPose
from phalanx.hand.anatomy import (
    ANGLE_NAMES,
    AXES,
    JOINT_OF_ANGLE,
    LIMITS,
    AnatomicalPose,
    angles_to_rotations,
    axis_angle_to_rotation,
    rotations_to_angles,
)
from phalanx.hand.skeleton import FINGERS

fractions = st.lists(st.floats(0, 1), min_size=23, max_size=23)


def within_limits(t: list[float]) -> torch.Tensor:
    low, high = LIMITS.unbind(1)
    return (low + (high - low) * torch.tensor(t, dtype=torch.float64))[None]


@settings(max_examples=60, deadline=None)
@given(fractions)
def test_round_trip(t: list[float]) -> None:
    angles = within_limits(t)
    torch.testing.assert_close(rotations_to_angles(angles_to_rotations(angles)), angles, atol=1e-9, rtol=0)


@settings(max_examples=30, deadline=None)
@given(st.lists(fractions, min_size=1, max_size=3))
def test_degrees_by_name_and_back(hands: list[list[float]]) -> None:
    pose = AnatomicalPose(torch.cat([within_limits(t) for t in hands]))
    named = pose.degrees()
    assert [list(hand) for hand in named] == [list(ANGLE_NAMES)] * len(hands)
    again = AnatomicalPose.from_degrees(*named)
    torch.testing.assert_close(again.angles, pose.angles, atol=1e-12, rtol=0)
    back = AnatomicalPose.from_rotations(again.rotations())
    torch.testing.assert_close(back.angles, pose.angles, atol=1e-9, rtol=0)
    torch.testing.assert_close(back.within_limits().angles, pose.angles, atol=1e-9, rtol=0)


def test_degrees_that_are_left_out_are_zero_and_others_are_refused() -> None:
    pose = AnatomicalPose.from_degrees({"index_pip_flexion": 150.0}, {})
    assert pose.degrees()[0]["index_pip_flexion"] == 150.0 and pose.angles.count_nonzero() == 1
    assert pose.within_limits().degrees()[0]["index_pip_flexion"] == pytest.approx(120)
    for bad, says in (({"index_pip": 3.0}, "'index_pip' is none of"), ({"thumb_ip_flexion": float("nan")}, "finite")):
        with pytest.raises(InputError, match=says):
            AnatomicalPose.from_degrees(bad)
    with pytest.raises(InputError, match="degrees by name, not a list"):
        AnatomicalPose.from_degrees([1.0])
    for wrong in (torch.eye(3), HandPose.zero(1).rotations[0].numpy()):
        with pytest.raises(InputError, match="must be a tensor"):
            AnatomicalPose.from_rotations(wrong)


@settings(max_examples=30, deadline=None)
@given(fractions)
def test_rotations_are_rotations(t: list[float]) -> None:
    rotations = angles_to_rotations(within_limits(t))
    assert rotations.shape == (1, 16, 3, 3)
    assert roma.is_rotation_matrix(rotations, epsilon=1e-10)


def test_rodrigues_equals_roma() -> None:
    rotvec = torch.randn(50, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    angle = rotvec.norm(dim=1)
    ours = axis_angle_to_rotation(rotvec / angle[:, None], angle)
    torch.testing.assert_close(ours, roma.rotvec_to_rotmat(rotvec))


def test_tables_agree() -> None:
    assert len(ANGLE_NAMES) == len(JOINT_OF_ANGLE) == len(AXES) == len(LIMITS) == 23
    torch.testing.assert_close(AXES.norm(dim=1), torch.ones(23, dtype=torch.float64))
    assert (LIMITS[:, 0] < 0).all() and (LIMITS[:, 1] > 0).all()


def posed(**degrees: float) -> torch.Tensor:
    angles = torch.zeros(1, 23)
    for name, value in degrees.items():
        angles[0, ANGLE_NAMES.index(name)] = torch.deg2rad(torch.tensor(value))
    pose = HandPose.zero(1)
    pose.rotations = angles_to_rotations(angles)
    return HandModel.open_hand().joints(pose)[0]


def test_signs_are_those_of_anatomy() -> None:
    rest = posed()
    for finger, name in enumerate(("index", "middle", "ring", "little"), start=1):
        tip = FINGERS[finger][3]
        assert posed(**{f"{name}_mcp_flexion": 40.0})[tip, 2] > rest[tip, 2] + 0.02  # towards the palm
        assert posed(**{f"{name}_pip_flexion": 40.0})[tip, 2] > rest[tip, 2] + 0.01
        assert posed(**{f"{name}_mcp_abduction": 10.0})[tip, 0] > rest[tip, 0] + 0.005  # towards the thumb
    assert posed(thumb_cmc_flexion=30.0)[4, 0] < rest[4, 0] - 0.01  # across the palm
    lifted = posed(thumb_cmc_abduction=30.0) - posed(thumb_cmc_abduction=-30.0)
    assert lifted[4, 2] > 0.02  # out of the palm


def test_signs_of_the_wrist() -> None:
    model = HandModel.open_hand()
    end = model.template[:, 1].argmin()
    rest = model(HandPose.zero(1)).vertices[0, end]

    def moved(name: str) -> torch.Tensor:
        angles = torch.zeros(1, 23)
        angles[0, ANGLE_NAMES.index(name)] = 0.5
        pose = HandPose.zero(1)
        pose.rotations = angles_to_rotations(angles)
        return model(pose).vertices[0, end] - rest

    assert moved("wrist_flexion")[2] > 0.05  # palm and inner forearm near each other
    assert moved("wrist_deviation")[0] > 0.05  # thumb and forearm near each other


def test_a_named_angle_is_the_angle_between_bones() -> None:
    joints = posed(index_pip_flexion=70.0)
    a, b = joints[6] - joints[5], joints[7] - joints[6]
    between = torch.rad2deg(torch.acos(a @ b / a.norm() / b.norm()))
    torch.testing.assert_close(between, torch.tensor(70.0), atol=0.1, rtol=0)
