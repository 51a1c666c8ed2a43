import numpy as np
import pytest
from true_rig import TrueRig

from phalanx.core.errors import InputError
from phalanx.geometry.placed import epipolar_errors
from phalanx.predict.rig_calibrate import calibrate_rig, check_rig, unplaced


def seen(true, rig, frames=range(0, 48, 2)):
    predictor = true.unplaced(rig)
    return predictor, [predictor.look(true.images(frame)).bare() for frame in frames]


def blank(true):
    return unplaced([camera.calibration for camera in true.rig.cameras], [camera.name for camera in true.rig.cameras])


@pytest.mark.parametrize("count", [2, 3])
def test_cameras_are_placed_by_a_moving_hand(count):
    true = TrueRig(count, noise=0.7)
    predictor, frames = seen(true, blank(true))
    found = calibrate_rig(predictor, frames)
    first = true.camera(0).world_to_camera
    np.testing.assert_allclose(found.cameras[0].world_to_camera, np.eye(4), atol=1e-9)
    for view in range(1, count):
        wanted = true.camera(view).world_to_camera @ np.linalg.inv(first)
        got = found.cameras[view].world_to_camera
        turn = np.degrees(np.arccos(np.clip((np.trace(wanted[:3, :3] @ got[:3, :3].T) - 1) / 2, -1, 1)))
        assert turn < 1.0
        assert np.linalg.norm(got[:3, 3]) / np.linalg.norm(wanted[:3, 3]) == pytest.approx(1, abs=0.15)  # a hand's size
        cosine = got[:3, 3] @ wanted[:3, 3] / np.linalg.norm(got[:3, 3]) / np.linalg.norm(wanted[:3, 3])
        assert np.degrees(np.arccos(min(cosine, 1))) < 1.5
    predictor.rig = found
    assert check_rig(predictor, frames).holds


def test_a_check_says_whether_a_calibration_holds():
    true = TrueRig(2, noise=0.5)
    predictor, frames = seen(true, true.rig, range(0, 12, 2))
    good = check_rig(predictor, frames)
    assert good.holds and good.pairs[0].moments == 6 and good.pairs[0].error < 1 and 0.85 < good.scale < 1.15
    moved = true.rig
    moved.cameras[1].world_to_camera[:3, 3] += [0.0, 0.12, 0.0]
    predictor.rig = moved
    bad = check_rig(predictor, frames)
    assert not bad.holds and bad.pairs[0].error > 5


def test_points_of_one_place_lie_on_each_others_lines():
    true = TrueRig(2)
    a, b = (true.camera(view).project(true.joints) for view in (0, 1))
    assert epipolar_errors(a, b, true.camera(0), true.camera(1)).max() < 1e-6
    assert np.median(epipolar_errors(a, b + [0, 9], true.camera(0), true.camera(1))) > 3


def test_too_few_moments_or_views_that_fit_nothing_are_named():
    true = TrueRig(2)
    predictor, frames = seen(true, blank(true), range(4))
    with pytest.raises(
        InputError, match="cameras cam0 and cam1 show the hand together at 4 moments, and 12 are needed"
    ):
        calibrate_rig(predictor, frames)
    blind = TrueRig(2, blind={(frame, 1) for frame in range(50)})
    predictor, frames = seen(blind, blind.rig, range(4))
    with pytest.raises(InputError, match="no two cameras show a hand at the same moment"):
        check_rig(predictor, frames)
    true = TrueRig(2, noise=30.0)
    predictor, frames = seen(true, blank(true))
    with pytest.raises(InputError, match="fit no places of cameras|agree nowhere"):
        calibrate_rig(predictor, frames)
