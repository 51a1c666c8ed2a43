"""The engine draws what its version says: coarse figures of a few tiny chunks, on any CPU."""

import pytest

from phalanx.synth import SynthConfig, make_chunk
from phalanx.synth.version import ENGINE

SMALL = {"size": 32, "chunk": 3, "tiles": 3, "skins": 2}
CHUNKS = {
    "hands": SynthConfig(**SMALL),
    "field": SynthConfig(**SMALL, scene="holding", domain="field", depth_sensor="domain"),
    "studio": SynthConfig(**SMALL, rig="ring3", domain="studio", depth_sensor="azure"),
    "arms": SynthConfig(**(SMALL | {"chunk": 4}), scene="arms", depth_sensor="ideal"),
    "clips": SynthConfig(**SMALL, scene="motion", frames=3, depth_sensor="sr305"),
}
TOLERANCE = 1e-4  # CPUs round the last bits differently
RECORDED = {
    1: {
        "hands": [
            (0.72417, 0.20013, 0.25194, 0.2096, 0.14405),
            (0.64375, 0.27303, 0.15919, 0.09156, 0.13688),
            (0.63557, 0.29548, 0.36731, 0.44292, 0.16565),
        ],
        "field": [
            (0.50538, 0.20465, 0.09082, 0.71675, 0.10709, 0.16106),
            (0.55203, 0.3283, 0.15849, 0.57021, 0.20591, 0.13062),
            (0.29489, 0.17252, 0.27624, 0.41267, 0.14511, 0.13298),
        ],
        "studio": [
            (0.69913, 0.19961, 0.33503, 0.68083, 0.23605, 0.11911),
            (0.55559, 0.14886, 0.39609, 0.85294, 0.27477, 0.15364),
            (0.59324, 0.15776, 0.32478, 0.70785, 0.24178, 0.17648),
        ],
        "arms": [
            (0.46285, 0.06788, 0.03363, 1.3433, 0.12033, 0.13097),
            (0.55991, 0.06832, 0.01532, 1.3433, 0.32829, 0.26208),
            (0.91663, 0.19823, 0.0, 1.37915, 0.5183, 0.46316),
            (0.92682, 0.1083, 0.03528, 1.37915, 0.15802, 0.11685),
        ],
        "clips": [
            (0.56904, 0.21605, 0.24104, 0.6015, 0.22074, 0.14876),
            (0.57046, 0.21675, 0.24103, 0.59987, 0.22074, 0.14876),
            (0.57089, 0.2157, 0.24101, 0.59641, 0.22074, 0.14877),
        ],
    },
}


def figures(config: SynthConfig) -> list[tuple[float, ...]]:
    """Of each picture of a chunk the mean and deviation of colour, and the means of depth, sensed depth, joints and their pixels / 100."""
    sample = make_chunk(config, 1, 2)
    values = [sample.image.flatten(1).mean(1), sample.image.flatten(1).std(1), sample.depth.flatten(1).mean(1)]
    values += [] if sample.sensed_depth is None else [sample.sensed_depth.flatten(1).mean(1)]
    values += [sample.joints.flatten(1).mean(1), sample.joints_2d.flatten(1).mean(1) / 100]
    return [tuple(round(float(value[i]), 5) for value in values) for i in range(len(sample))]


@pytest.mark.parametrize("name", CHUNKS)
def test_what_the_engine_draws_is_what_its_version_says(name):
    found, recorded = figures(CHUNKS[name]), RECORDED.get(ENGINE, {}).get(name, [])
    close = [value == pytest.approx(known, abs=TOLERANCE) for value, known in zip(found, recorded, strict=False)]
    fault = (
        "does not draw what was recorded of it: raise ENGINE in synth/version.py" if recorded else "has no figures yet"
    )
    assert len(found) == len(recorded) and all(close), (
        f'version {ENGINE} of the engine {fault}, and record in RECORDED\n"{name}": {found},'
    )
