from pathlib import Path

import pytest

from phalanx.core.errors import InputError
from phalanx.synth import SynthConfig


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"size": 100}, "size: must be a multiple of 16 pixels, at most 4096, not 100"),
        ({"size": 100000}, "size: must be a multiple of 16 pixels, at most 4096, not 100000"),
        ({"size": 0}, "size"),
        ({"chunk": 0}, "chunk: must be at least 1"),
        ({"tiles": 0}, "tiles"),
        ({"skins": -1}, "skins"),
        ({"photograph_share": 1.5}, "photograph_share"),
        ({"effects": -0.1}, "effects"),
        ({"scene": "hand"}, "scene: hand is none of hands, egocentric"),
        ({"domain": "real"}, "domain: real is none of any, studio, field"),
        ({"camera": "leica"}, "camera: leica is none of ideal, webcam"),
        ({"depth_sensor": "sonar"}, "depth_sensor: sonar is none of domain, ideal, kinect1"),
        ({"frames": 0}, "frames: must be at least 1"),
        ({"frame_rate": 0.0}, "frame_rate"),
        ({"rig": "stereo", "scene": "egocentric"}, "camera of its own"),
        ({"panoramas": Path("places"), "domain": "field"}, "panoramas: hands of the domain field stand in none"),
    ],
)
def test_nonsense_is_refused(wrong, says):
    with pytest.raises(InputError, match=says):
        SynthConfig(**wrong)


@pytest.mark.parametrize(
    ("config", "hands", "pictures"),
    [
        (SynthConfig(chunk=10), 10, 10),
        (SynthConfig(chunk=10, rig="ring4"), 2, 8),
        (SynthConfig(chunk=10, scene="motion", frames=3), 3, 9),
        (SynthConfig(chunk=10, scene="motion", frames=3, rig="stereo"), 1, 6),
        (SynthConfig(chunk=2, scene="motion", frames=30), 1, 30),
    ],
)
def test_chunks_hold_whole_hands(config, hands, pictures):
    assert (config.hands, config.pictures) == (hands, pictures)
