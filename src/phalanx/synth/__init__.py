"""Labelled pictures of hands out of nothing: poses, skin, clothes, light, backgrounds, cameras."""

from phalanx.synth.chunks import make_chunk
from phalanx.synth.config import SynthConfig
from phalanx.synth.stream import stream

__all__ = ["SynthConfig", "make_chunk", "stream"]
