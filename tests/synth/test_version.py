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
    2: {
        "hands": [
            (0.29538, 0.14701, 0.25931, 0.2096, 0.14405),
            (0.74692, 0.24135, 0.16147, 0.09156, 0.13688),
            (0.2399, 0.15553, 0.37481, 0.44292, 0.16565),
        ],
        "field": [
            (0.53344, 0.20086, 0.09348, 0.7144, 0.10709, 0.16106),
            (0.5793, 0.30408, 0.16036, 0.57281, 0.20591, 0.13062),
            (0.26091, 0.18263, 0.27784, 0.41525, 0.14511, 0.13298),
        ],
        "studio": [
            (0.53236, 0.2716, 0.34772, 0.69194, 0.23605, 0.11911),
            (0.54389, 0.13224, 0.40253, 0.84428, 0.27477, 0.15364),
            (0.57678, 0.16625, 0.33058, 0.70503, 0.24178, 0.17648),
        ],
        "arms": [
            (0.13373, 0.07925, 0.0357, 1.33421, 0.12033, 0.13097),
            (0.34362, 0.13558, 0.01577, 1.33421, 0.32829, 0.26208),
            (0.4598, 0.19772, 0.0, 1.37726, 0.5183, 0.46316),
            (0.40628, 0.10729, 0.03346, 1.37726, 0.15802, 0.11685),
        ],
        "clips": [
            (0.31676, 0.13879, 0.24546, 0.59982, 0.22074, 0.14876),
            (0.31912, 0.13379, 0.24546, 0.5966, 0.22074, 0.14876),
            (0.31863, 0.13818, 0.24543, 0.59746, 0.22074, 0.14877),
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
