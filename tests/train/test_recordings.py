import pytest
import torch

from phalanx.core.errors import InputError
from phalanx.train.recordings import MixtureConfig, UnlabelledFeed


def test_a_feed_goes_on_where_it_stood(recordings):
    def feed():
        return UnlabelledFeed([recordings], None, MixtureConfig(frames=2), 3)

    first = feed()
    first.next(2, 64, 1)
    state = first.state()
    expected = [first.next(2, 64, 1).unlabelled[0].maps for _ in range(3)]
    second = feed()
    second.restore(state)
    for maps in expected:
        assert torch.equal(second.next(2, 64, 1).unlabelled[0].maps, maps)
    assert expected[0].dtype == torch.float32 and first.next(2, 64, 1).unlabelled[0].joints is None
    with pytest.raises(InputError, match="no recorded frames"):
        UnlabelledFeed([recordings[:0]], None, MixtureConfig(), 0)
