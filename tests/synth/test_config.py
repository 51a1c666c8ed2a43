import pytest

from phalanx.core.errors import InputError
from phalanx.synth import SynthConfig


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"size": 100}, "size: must be a multiple of 16 pixels, not 100"),
        ({"size": 0}, "size"),
        ({"chunk": 0}, "chunk: must be at least 1"),
        ({"tiles": 0}, "tiles"),
        ({"skins": -1}, "skins"),
        ({"photograph_share": 1.5}, "photograph_share"),
        ({"effects": -0.1}, "effects"),
    ],
)
def test_nonsense_is_refused(wrong, says):
    with pytest.raises(InputError, match=says):
        SynthConfig(**wrong)
