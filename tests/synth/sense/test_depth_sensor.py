"""Depth sensors against the formulas and the geometry that they are made from."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from phalanx.core.errors import InputError
from phalanx.core.seeding import generator
from phalanx.synth.sense.depth_noise import DepthNoiseDraw, draw_depth_noise
from phalanx.synth.sense.depth_sensor import sense_depth
from phalanx.synth.sense.sensors import (
    AZURE,
    D415,
    D435,
    DEPTH_SENSORS,
    IDEAL,
    KINECT1,
    KINECT2,
    SR300,
    SR305,
    DepthSensor,
)

SIZE = 64
REAL = [s for s in DEPTH_SENSORS if s != IDEAL]
# One at a time: nothing but the effect under test.
PLAIN = DepthSensor(name="plain", triangulates=True, focal=200.0)


def cameras(count: int, focal: float, size: int = SIZE) -> torch.Tensor:
    centre = 0.5 * (size - 1)
    return torch.tensor([[focal, 0, centre], [0, focal, centre], [0, 0, 1]]).repeat(count, 1, 1)


def wall(distance: float, count: int = 1, size: int = SIZE) -> torch.Tensor:
    return torch.full((count, size, size), distance)


def finger(near: float = 0.5, far: float = 0.6, left: int = 28, right: int = 36) -> torch.Tensor:
    """A bar before a wall."""
    depth = wall(far)
    depth[:, :, left:right] = near
    return depth


def scene(count: int = 5) -> torch.Tensor:
    """Balls before slanted walls, with nothing in a part of each picture."""
    random = generator(11)
    y, x = torch.meshgrid(torch.arange(SIZE) - 31.5, torch.arange(SIZE) - 31.5, indexing="ij")
    pictures = []
    for _ in range(count):
        depth = 1.0 + 0.004 * random.uniform(-1, 1) * x
        depth[:, : random.integers(5, 20)] = 0.0
        radius, cx, cy = random.uniform(8, 20), *random.uniform(-12, 12, 2)
        height = 1 - ((x - cx) ** 2 + (y - cy) ** 2) / radius**2
        pictures.append(torch.where(height > 0, 0.75 - 0.05 * height.clamp_min(0).sqrt(), depth))
    return torch.stack(pictures).float()


def sense(depth, sensor, focal=200.0, seed=0, **more):
    draw = draw_depth_noise(generator(seed), len(depth), depth.shape[-1], sensor)
    return sense_depth(depth, cameras(len(depth), focal, depth.shape[-1]), sensor, draw, **more)


def test_ideal_changes_nothing():
    depth = scene()
    result = sense(depth, IDEAL)
    assert torch.equal(result, depth) and result is not depth


@pytest.mark.parametrize("sensor", REAL, ids=lambda s: s.name)
def test_repeats_and_does_not_know_its_batch(sensor):
    depth, K = scene(), cameras(5, 150.0)
    before = depth.clone()
    draw = draw_depth_noise(generator(3), 5, SIZE, sensor)
    together = sense_depth(depth, K, sensor, draw)
    assert torch.equal(together, sense_depth(depth, K, sensor, draw))
    assert torch.equal(depth, before)
    for i in range(5):
        part = slice(i, i + 1)
        alone = DepthNoiseDraw(draw.shift[part], draw.flip[part], draw.sign[part], draw.phase[part], draw.turn[part])
        assert torch.equal(sense_depth(depth[part], K[part], sensor, alone)[0], together[i])
    other = sense_depth(depth, K, sensor, draw_depth_noise(generator(4), 5, SIZE, sensor))
    assert not torch.equal(other, together)


@pytest.mark.parametrize("sensor", REAL, ids=lambda s: s.name)
def test_readings_are_sane(sensor):
    depth = scene()
    depth[-1] = 0.0
    sensed = sense(depth, sensor)
    assert sensed.shape == depth.shape and torch.isfinite(sensed).all() and not sensed.requires_grad
    assert (sensed[depth == 0] == 0).all()  # out of nothing comes nothing
    read = sensed[sensed > 0]
    assert len(read) > 0.5 * (depth > 0).sum()
    assert read.min() >= sensor.nearest and read.max() <= sensor.farthest
    units = read.double() / sensor.unit
    assert (units - units.round()).abs().max() < 1e-3
    near = depth > 0
    for i in range(4):  # what is read lies between the nearest and the farthest of the scene, but for noise
        values = sensed[i][sensed[i] > 0]
        assert values.min() > depth[i][near[i]].min() - 0.03 and values.max() < depth[i].max() + 0.03


@pytest.mark.parametrize("sensor", [KINECT1, SR305, D415, D435], ids=lambda s: s.name)
def test_noise_of_triangulation_grows_with_the_square(sensor):
    sensor = replace(sensor, nearest=0.0, farthest=99.0, least_signal=0.0, unit=0.0, levels=0.0, lateral=0.0)
    sigma = {}
    for z in (0.5, 1.0, 2.0):
        error = torch.cat([sense(wall(z, 8, 48), sensor, focal=sensor.focal, seed=i) - z for i in range(12)])
        sigma[z] = error.std().item()
        assert abs(error.mean().item()) < 0.3 * sigma[z]
    assert sigma[1.0] == pytest.approx(sensor.axial[2], rel=0.12)
    assert sigma[2.0] / sigma[1.0] == pytest.approx(4, rel=0.05)
    assert sigma[1.0] / sigma[0.5] == pytest.approx(4, rel=0.05)


def test_kinect1_has_the_published_noise():
    # Khoshelham and Elberink 2012: 1.425e-5 Z^2 in centimetres, half the step of disparity.
    assert KINECT1.axial == (0.0, 0.0, pytest.approx(1.425e-3))
    assert KINECT1.axial[2] == pytest.approx(0.5 * KINECT1.step(1.0), rel=0.01)


@pytest.mark.parametrize("z", [0.8, 2.0])
@pytest.mark.parametrize("sensor", [KINECT2, AZURE], ids=lambda s: s.name)
def test_noise_of_time_of_flight(sensor, z):
    still = replace(sensor, slant=(0.0, 0.0))
    error = torch.cat([sense(wall(z, 4), still, focal=sensor.focal, seed=i) - z for i in range(8)])
    a, b, c = sensor.axial
    assert error.std().item() == pytest.approx(np.hypot(a + b * z + c * z * z, sensor.unit / 12**0.5), rel=0.05)
    assert sense(wall(z), still, albedo=0.1 * torch.ones(1, SIZE, SIZE)).sub(z).std() > 1.8 * error.std()  # less light


def test_noise_grows_on_slanted_surfaces():
    for sensor in (KINECT1, KINECT2):
        sensor = replace(sensor, unit=0.0, levels=0.0, least_signal=0.0, grazing=0.0)
        x = torch.arange(SIZE) - 31.5
        degrees = np.deg2rad(70.0)
        slanted = 1.0 / (1.0 - np.tan(degrees) * x / sensor.focal)  # z = 1 + tan(70) X
        slanted = slanted.expand(4, SIZE, SIZE).contiguous()
        noise = torch.cat([sense(slanted, sensor, focal=sensor.focal, seed=i) - slanted for i in range(6)])
        a, b, c = sensor.axial
        t = degrees / (np.pi / 2 - degrees)
        assert noise[:, :, 28:36].std().item() == pytest.approx(a + b + c + sensor.slant[0] * t * t, rel=0.12)


@pytest.mark.parametrize("sensor", [KINECT1, D415, D435], ids=lambda s: s.name)
def test_steps_are_those_of_disparity(sensor):
    exact = replace(sensor, unit=0.0, axial=(0, 0, 0), slant=(0.0, 0.0), lateral=0.0, least_signal=0.0)
    ramp = torch.linspace(1.0, 1.0 + 12 * exact.step(1.0), SIZE).repeat(1, SIZE, 1)
    levels = sense(ramp, exact, focal=sensor.focal).unique()
    steps = levels.diff()
    assert len(levels) > 5
    assert steps.median().item() == pytest.approx(exact.step(1.0), rel=0.1)
    assert (1 / levels).diff().abs().std() < 1e-3 * (1 / levels).diff().abs().mean()  # even in 1 / z
    assert (sense(ramp, exact, focal=sensor.focal) - ramp).abs().max() <= 0.51 * exact.step(1.05)


def test_steps_of_kinect1_at_two_metres():
    assert KINECT1.step(2.0) == pytest.approx(2.85e-3 * 4, rel=0.01)  # Khoshelham and Elberink 2012
    assert SR305.step(0.3) == SR300.step(1.0) == 0.125e-3
    assert IDEAL.step(1.0) == 0.0


@pytest.mark.parametrize("baseline", [0.05, -0.05])
def test_shadow_lies_on_the_far_side_of_the_projector(baseline):
    near, far, focal = 0.5, 0.6, 500.0
    lost = (sense(finger(near, far), replace(PLAIN, focal=focal, baseline=baseline), focal=focal) == 0)[0]
    shift = focal * 0.05 * (1 / near - 1 / far)  # 8.3 pixels
    assert not lost[:, 28:36].any()
    columns = torch.nonzero(lost[32])[:, 0].tolist()
    beside = list(range(28 - round(shift), 28)) if baseline > 0 else list(range(36, 36 + round(shift)))
    assert abs(len(columns) - shift) <= 1
    assert set(columns) ^ set(beside) <= {min(beside) - 1, min(beside), max(beside), max(beside) + 1}
    assert (lost == lost[:1]).all()  # rows alike


@pytest.mark.parametrize("baseline", [0.05, -0.05])
def test_loss_beside_edges_comes_on_top_of_the_shadow(baseline):
    near, far, focal = 0.5, 0.6, 500.0
    sensor = replace(PLAIN, focal=focal, baseline=baseline, edge_loss=2.0)
    sensed = torch.cat([sense(finger(near, far), sensor, focal=focal, seed=i) for i in range(4)])
    left, right = ((sensed == 0)[:, :, part].float().sum(2).mean().item() for part in (slice(0, 28), slice(36, 64)))
    shift = focal * 0.05 * (1 / near - 1 / far)
    shadow, other = (left, right) if baseline > 0 else (right, left)
    assert shadow == pytest.approx(shift + 2, abs=1) and other == pytest.approx(2, abs=0.7)


def test_light_passes_behind_a_thin_thing():
    near, far, focal = 0.4, 0.8, 500.0  # the shadow falls 31 pixels away, the finger is 4 wide
    lost = (sense(finger(near, far, 48, 52), replace(PLAIN, focal=focal, baseline=0.05), focal=focal) == 0)[0, 32]
    columns = torch.nonzero(lost)[:, 0]
    shift = focal * 0.05 * (1 / near - 1 / far)
    assert abs(len(columns) - 4) <= 1
    assert columns.float().mean() == pytest.approx(49.5 - shift, abs=1)


def test_no_shadow_on_one_surface():
    sensor = replace(PLAIN, focal=500.0, baseline=0.075)
    x = torch.arange(SIZE) - 31.5
    for slope in (-1.5, -0.5, 0.5, 1.5):
        slanted = (0.6 / (1.0 - slope * x / 400.0)).expand(1, SIZE, SIZE).contiguous()
        assert (sense(slanted, sensor, focal=400.0) > 0).all()


def test_shadow_is_that_of_rays():
    """Against a slow twin: every pixel's way to the projector is walked along its row."""
    depth, focal, baseline = scene(3), 300.0, 0.06
    depth = torch.where(depth > 0.8, depth * 1.3, depth)
    ours = sense(depth, replace(PLAIN, focal=focal, baseline=baseline), focal=focal) > 0
    picture = depth.numpy()
    theirs = picture > 0
    for b, v, u in np.argwhere(picture > 0):
        z = picture[b, v, u]
        seen_at = u - focal * baseline / z
        before = np.flatnonzero((picture[b, v] > 0) & (picture[b, v] < 0.97 * z))
        theirs[b, v, u] = (np.abs(before - focal * baseline / picture[b, v, before] - seen_at) > 0.5).all()
    known = picture > 0
    assert (~theirs[known]).mean() > 0.02
    assert (ours.numpy() == theirs)[known].mean() > 0.99  # but for single pixels at the shadow's ends


def test_shadows_follow_a_turned_crop():
    """A crop turned by a quarter is the upright picture's, turned."""
    sensor = replace(KINECT1, axial=(0, 0, 0), slant=(0.0, 0.0), lateral=0.0, grazing=0.0, least_signal=0.0)
    depth = scene(2) * 0.7
    draw = draw_depth_noise(generator(0), 2, SIZE, sensor)
    quarter = draw_depth_noise(generator(0), 2, SIZE, sensor, turn=np.full(2, -0.5 * np.pi))
    upright = sense_depth(depth, cameras(2, 300.0), sensor, draw)
    turned = sense_depth(depth.rot90(1, (1, 2)), cameras(2, 300.0), sensor, quarter)
    assert (upright == 0).sum() > 1.1 * (depth == 0).sum()
    assert ((turned.rot90(-1, (1, 2)) > 0) == (upright > 0)).float().mean() > 0.99
    K = cameras(2, 300.0)
    K[:, :2, :2] = 300.0 * torch.tensor([[0.0, 1.0], [-1.0, 0.0]])  # the same by the camera
    by_camera = sense_depth(depth.rot90(1, (1, 2)), K, sensor, draw)
    assert ((by_camera.rot90(-1, (1, 2)) > 0) == (upright > 0)).float().mean() > 0.99


@pytest.mark.parametrize("sensor", [KINECT2, AZURE], ids=lambda s: s.name)
def test_flying_pixels_lie_between_the_surfaces(sensor):
    near, far = 0.7, 1.0
    sensed = torch.cat([sense(finger(near, far), sensor, focal=sensor.focal, seed=i) for i in range(20)])
    read = sensed > 0
    flying = read & (sensed > near + 0.02) & (sensed < far - 0.02)
    columns = torch.nonzero(flying)[:, 2]
    assert len(columns) > 200
    assert set(columns.tolist()) <= {26, 27, 28, 29, 34, 35, 36, 37}  # at the two edges alone
    assert (sensed[read] > near - 0.02).all() and (sensed[read] < far + 0.02).all()
    lost = (~read)[:, :, 24:40].sum() / (flying.sum() + (~read)[:, :, 24:40].sum())
    assert lost.item() == pytest.approx(sensor.mixed_lost, abs=0.1)


def test_only_time_of_flight_mixes():
    sensed = sense(finger(0.7, 1.0), KINECT1, focal=KINECT1.focal)
    assert not ((sensed > 0.75) & (sensed < 0.95)).any()


def test_edges_are_displaced_by_the_sensors_pixels():
    for focal in (200.0, 400.0):
        sensor = replace(PLAIN, focal=focal, lateral=2.0)
        edge = wall(1.0, 40)
        edge[:, :, 32:] = 0.5
        sensed = torch.cat([sense(edge, sensor, focal=200.0, seed=i) for i in range(3)])
        wrong = (sensed != edge[:1]).float().mean((0, 1))
        # A displacement of s crop pixels makes, on either side, the share of normal deviates beyond the distance.
        sigma = 2.0 * 200.0 / focal
        beyond = 0.5 * torch.erfc((torch.arange(SIZE) - 31.5).abs() / sigma / 2**0.5)
        assert torch.allclose(wrong[24:40], beyond[24:40], atol=0.02)
        assert set(sensed.unique().tolist()) <= {0.5, 1.0}


def test_pixels_beside_something_nearer_are_lost():
    sensor = replace(PLAIN, focal=200.0, edge_loss=2.0)
    lost = (sense(finger(), sensor) == 0)[0].float().mean(0)
    assert (lost[[26, 27, 36, 37]] > 0.5).all()
    assert lost[:24].sum() == lost[28:36].sum() == lost[40:].sum() == 0


def test_the_sensors_pixels_show_in_a_crop_that_is_finer():
    sensed = sense(wall(1.0), replace(KINECT2, focal=50.0), focal=200.0)[0]
    same = [(sensed.diff(dim=d) == 0).float().mean().item() for d in (0, 1)]
    assert min(same) > 0.7  # blocks of 4: three of four neighbours, and by chance
    fine = sense(wall(1.0), replace(KINECT2, focal=400.0), focal=200.0)[0]
    assert (fine.diff(dim=1) == 0).float().mean() < 0.45


def test_grain_is_in_the_sensors_pixels():
    """Noise of a crop at half the resolution is that of every second pixel."""

    def likeness(focal):
        sensor = replace(PLAIN, focal=400.0, axial=(1e-3, 0.0, 0.0), grain=3.0)
        noise = torch.cat([sense(wall(1.0), sensor, focal=focal, seed=i) - 1.0 for i in range(16)])
        return ((noise[:, :, 2:] * noise[:, :, :-2]).mean() / noise.square().mean()).item()

    for focal, pixels in ((400.0, 2), (200.0, 4)):
        assert likeness(focal) == pytest.approx(np.exp(-(pixels**2) / (4 * 3.0**2)), abs=0.06)


def test_dark_and_far_things_are_missed():
    albedo = torch.full((1, SIZE, SIZE), 0.6)
    albedo[:, :, 32:] = 0.05
    read = sense(wall(0.9), SR305, albedo=albedo) > 0
    assert read[:, :, :32].all() and not read[:, :, 32:].float().mean() > 0.1
    read = sense(wall(0.9), KINECT1, albedo=torch.full((1, SIZE, SIZE), 0.35)) > 0  # dark skin at arm's length is seen
    assert read.all()
    for sensor in REAL:
        assert (sense(wall(sensor.nearest * 0.9), sensor) == 0).all()
        assert (sense(wall(sensor.farthest * 1.5), sensor, albedo=torch.ones(1, SIZE, SIZE)) == 0).all()


def test_grazing_surfaces_are_missed():
    x = torch.arange(SIZE) - 31.5
    share = []
    for degrees in (30.0, 75.0, 88.0):
        slanted = (0.8 / (1.0 - np.tan(np.deg2rad(degrees)) * x / 3e4)).expand(1, SIZE, SIZE).contiguous()
        share.append((sense(slanted, replace(KINECT1, least_signal=0.0), focal=3e4) > 0).float().mean().item())
    assert share[0] == 1.0 and share[0] >= share[1] > share[2] and share[2] < 0.05


@settings(max_examples=15, deadline=None)
@given(
    st.sampled_from(REAL),
    st.integers(1, 9),
    st.integers(1, 9),
    st.integers(0, 3),
    st.floats(5.0, 3000.0),
    st.floats(-3.2, 3.2),
    st.integers(0, 10**6),
)
def test_anything_goes(sensor, height, width, count, focal, turn, seed):
    random = generator(seed)
    depth = torch.from_numpy(random.choice([0.0, 0.3, 0.7, 4.0, 60.0], (count, height, width)).astype(np.float32))
    draw = draw_depth_noise(random, count, width, sensor, turn=np.full(count, turn))
    sensed = sense_depth(depth, cameras(count, focal), sensor, draw)
    assert sensed.shape == depth.shape and torch.isfinite(sensed).all()
    assert (sensed >= 0).all()
    # Nothing comes out of nothing, but for the half of a sensor's pixel that a finer crop shows.
    reach = int(np.ceil(0.75 * focal / sensor.focal + 0.5))
    if count and focal < 3 * sensor.focal:
        near = torch.nn.functional.max_pool2d(depth[:, None], 2 * reach + 1, 1, reach)[:, 0]
        assert (sensed[near == 0] == 0).all()


def test_bad_input_is_refused():
    depth, K = wall(1.0, 2), cameras(2, 200.0)
    draw = draw_depth_noise(generator(0), 2, SIZE, KINECT1)
    for value in (float("nan"), float("inf"), -1.0):
        bad = depth.clone()
        bad[1, 3, 3] = value
        with pytest.raises(InputError, match="^depth: must be finite"):
            sense_depth(bad, K, KINECT1, draw)
    with pytest.raises(InputError, match="^depth: must have shape"):
        sense_depth(depth[0], K, KINECT1, draw)
    with pytest.raises(InputError, match="^K: must have shape"):
        sense_depth(depth, K[:1], KINECT1, draw)
    with pytest.raises(InputError, match="^K: .*singular"):
        sense_depth(depth, torch.zeros(2, 3, 3), KINECT1, draw)
    with pytest.raises(InputError, match="^draw: was made for 3"):
        sense_depth(depth, K, KINECT1, draw_depth_noise(generator(0), 3, SIZE, KINECT1))
    with pytest.raises(InputError, match=r"^albedo: must lie in \[0, 1\]"):
        sense_depth(depth, K, KINECT1, draw, albedo=2 * depth)
    with pytest.raises(InputError, match="^albedo: must have shape"):
        sense_depth(depth, K, KINECT1, draw, albedo=depth[:1])
