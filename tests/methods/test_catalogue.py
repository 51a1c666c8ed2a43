from pathlib import Path

import pytest
import torch

import phalanx.methods
from phalanx.fit.evidence import Evidence
from phalanx.methods.base import HandEstimator
from phalanx.methods.catalogue import METHODS

INPUTS = {"compact": torch.rand(2, 3, 64, 64), "sphere_fitting": torch.full((2, 64, 64), 0.02)}


def test_every_file_with_a_method_is_in_the_table():
    files = {path.stem for path in Path(phalanx.methods.__file__).parent.glob("*.py")}
    assert set(METHODS) == files - {"__init__", "base", "catalogue"}
    assert set(INPUTS) == {name for name, entry in METHODS.items() if issubclass(entry.network, HandEstimator)}


@pytest.mark.parametrize("name", INPUTS)
def test_shipped_weights_give_evidence_that_a_fit_can_start_from(name):
    entry = METHODS[name]
    network = entry.load(precision="float32")
    assert type(network) is entry.network and type(network.config) is entry.config
    assert not network.training and not any(p.requires_grad for p in network.parameters())
    with torch.enable_grad():
        evidence = network.evidence(INPUTS[name])
    assert isinstance(evidence, Evidence) and (evidence.joints_2d is None) != (evidence.joints is None)
    evidence.map(
        lambda value: (value.isfinite().all() and len(value) == 2 and not value.requires_grad) or pytest.fail()
    )


@pytest.mark.parametrize("name", METHODS)
def test_players_move_all_that_can_be_trained(name):
    network = METHODS[name].network(METHODS[name].config())
    players = network.players()
    moved = [id(p) for player in players for p in player.parameters]
    assert sorted(moved) == sorted(id(p) for p in network.parameters() if p.requires_grad)
    assert len(players) > 1 or players[0].losses == network.losses
