"""Streams: in order, the same bytes for any number of workers, nothing left behind."""

import multiprocessing

import pytest
import torch

from phalanx.core.errors import InputError
from phalanx.synth import SynthConfig, make_chunk, stream

CONFIG = SynthConfig(size=32, chunk=2, tiles=2, skins=1)


def test_workers_change_nothing():
    expected = [make_chunk(CONFIG, 5, index) for index in range(1, 6)]
    for workers in (0, 2):
        chunks = stream(CONFIG, seed=5, workers=workers, start=1)
        for index, sample in enumerate(expected):
            got = next(chunks).present()
            assert got.keys() == sample.present().keys()
            for name, value in sample.present().items():
                assert got[name].dtype == value.dtype and torch.equal(got[name], value), (workers, index, name)
        children = multiprocessing.active_children()
        assert len(children) == workers
        chunks.close()
        assert not any(child.is_alive() for child in children)
        assert not multiprocessing.active_children()


def test_complaints_without_workers(tmp_path):
    with pytest.raises(InputError, match="nothing: no such folder"):
        next(stream(SynthConfig(size=32, chunk=1, skins=1, backgrounds=tmp_path / "nothing"), seed=0, workers=0))
