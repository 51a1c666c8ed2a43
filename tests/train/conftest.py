import pytest

from phalanx.synth import SynthConfig
from phalanx.train.cubes import draw_views


@pytest.fixture(scope="package")
def recordings():
    return draw_views(SynthConfig(size=64, chunk=6, rig="ring3", tiles=2, skins=1, depth_sensor="kinect1"), 5, 4, 64)
