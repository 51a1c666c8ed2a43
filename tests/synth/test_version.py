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
    3: {
        "hands": [
            (0.29637, 0.14841, 0.25931, 0.2096, 0.14405),
            (0.74729, 0.24079, 0.16038, 0.09156, 0.13688),
            (0.23976, 0.15591, 0.37481, 0.44292, 0.16565),
        ],
        "field": [
            (0.53294, 0.20214, 0.09348, 0.71456, 0.10709, 0.16106),
            (0.57736, 0.30463, 0.16036, 0.57281, 0.20591, 0.13062),
            (0.26255, 0.18469, 0.27784, 0.41525, 0.14511, 0.13298),
        ],
        "studio": [
            (0.53196, 0.27082, 0.34772, 0.69194, 0.23605, 0.11911),
            (0.54396, 0.13329, 0.40252, 0.84428, 0.27477, 0.15364),
            (0.57371, 0.16598, 0.33059, 0.70503, 0.24178, 0.17648),
        ],
        "arms": [
            (0.68079, 0.2221, 0.01538, 0.78494, 0.25309, 0.21569),
            (0.59154, 0.25943, 0.0, 0.78494, 0.38825, 0.50759),
            (0.40847, 0.11385, 0.01841, 2.85173, 0.3543, 0.18843),
            (0.57865, 0.25026, 0.02402, 2.85173, 0.23145, 0.17014),
        ],
        "clips": [
            (0.31538, 0.13871, 0.24546, 0.59972, 0.22074, 0.14876),
            (0.31819, 0.13342, 0.24546, 0.59581, 0.22074, 0.14876),
            (0.31815, 0.13747, 0.24543, 0.59735, 0.22074, 0.14877),
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
