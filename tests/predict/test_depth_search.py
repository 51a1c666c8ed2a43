"""Which of several places is taken for the hand's, and how the search looks at them."""

import pytest
import torch

from phalanx.methods.hand_finder import EXTENTS, JOINTS, HandFinderConfig
from phalanx.predict.depth_search import Candidates, candidates


def several(shares, depths=(0.6, 0.6), inside=(1.0, 1.0), votes=(4.0, 4.0)):
    """Candidates of the given shares of nothing, a right and a left hand, at the given depths."""
    joints = torch.zeros(len(depths), JOINTS, 3)
    joints[..., 2] = torch.tensor(depths)[:, None]
    return Candidates(joints, torch.tensor(shares), torch.tensor(inside), torch.tensor(votes))


EQUAL = [[0.1, 0.8, 0.1], [0.1, 0.8, 0.1]]


@pytest.mark.parametrize(
    ("made", "depth"),
    [
        (several(EQUAL, (0.9, 0.5)), 0.5),  # the nearer
        (several([[0.0, 1.0, 0.0], [0.4, 0.6, 0.0]], (0.9, 0.5)), 0.9),  # the surer
        (several(EQUAL, (0.9, 0.5), votes=(4.0, 0.5)), 0.9),  # what several looks agree on
        (several(EQUAL, (0.9, 0.5), inside=(1.0, 0.5)), 0.9),  # what the frame does not cut
        (several([[0.1, 0.9, 0.0], [0.1, 0.45, 0.45]], (0.9, 0.5)), 0.9),  # what has a clear side
    ],
)
def test_the_best_of_several_places(made, depth):
    place = made.best()
    assert float(place.middle[2]) == pytest.approx(depth) and place.side == "right"


def test_hands_of_the_other_side_do_not_count():
    made = several([[0.0, 1.0, 0.0], [0.5, 0.1, 0.4]], (0.5, 0.9))
    place = made.best("left")
    assert place.side == "left" and float(place.middle[2]) == pytest.approx(0.9)
    assert place.shares == pytest.approx({"right": 0.1, "left": 0.4}) and place.hand == pytest.approx(0.5)


class Compass:
    """Sees a hand wherever the smaller cube shows surface, at what is nearest in it; it is right handed if that lies at the right."""

    config = HandFinderConfig(size=32)

    def __call__(self, maps):
        near = maps[:, 0].flatten(1)
        depth, cell = near.min(1)
        line = EXTENTS[0] * ((torch.arange(32) + 0.5) / 32 - 0.5)
        middle = torch.stack([line[cell % 32], line[cell // 32], depth], 1)
        shown = (depth < EXTENTS[0] / 2).float()
        logits = torch.stack([3.0 - 6.0 * shown, 300.0 * middle[:, 0], -300.0 * middle[:, 0]], 1)
        return logits, middle[:, None].expand(-1, JOINTS, -1)


def test_turned_and_mirrored_looks_agree_on_where_the_hand_is():
    K = torch.tensor([[150.0, 0.0, 79.5], [0.0, 150.0, 59.5], [0.0, 0.0, 1.0]])
    depth = torch.zeros(120, 160)
    depth[40:60, 90:110] = 0.7
    depth[49, 101] = 0.66  # a tip
    tip = 0.66 * torch.tensor([(101 - 79.5) / 150, (49 - 59.5) / 150, 1.0])
    found = candidates(Compass(), depth, K)
    best = found.best()
    assert float((best.middle - tip).norm()) < 0.012 and float(found.votes.max()) > 1
    flipped = candidates(Compass(), depth.flip(-1), K).best()
    assert float((flipped.middle - tip * torch.tensor([-1.0, 1.0, 1.0])).norm()) < 0.012
