"""Forearms that are no tubes."""

from phalanx.hand.model import HandModel
from phalanx.synth.paint.dress import forearm_relief


def test_relief_leaves_the_hand_alone_and_fades_in_at_the_wrist():
    model = HandModel.open_hand()
    relief = forearm_relief(model.template)
    y = model.template[:, 1]
    assert relief[y >= 0].abs().max() == 0
    assert 0.004 < relief[y < -0.15].max() < 0.015


def test_the_head_of_the_ulna_stands_out_on_the_back_only():
    model = HandModel.open_hand()
    relief, rest = forearm_relief(model.template), model.template
    wrist = (rest[:, 1] < -0.02) & (rest[:, 1] > -0.045)
    middle = rest[rest[:, 1] < -0.05].mean(0)
    ulnar, dorsal = rest[:, 0] < middle[0], rest[:, 2] < middle[2]
    assert relief[wrist & ulnar & dorsal].max() > 0.002
    assert relief[wrist & ~dorsal & ulnar].max() < 0.0015
