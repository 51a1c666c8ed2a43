"""Synthesis: labelled pictures of hands, with poses, skin, clothes, light, backgrounds and cameras all drawn at random.

`make_chunk` makes one chunk of pictures, `stream` endlessly many; `synth.sets` writes them to disk.
"""

from phalanx.synth.chunks import make_chunk
from phalanx.synth.config import SynthConfig
from phalanx.synth.stream import stream

__all__ = ["SynthConfig", "make_chunk", "stream"]
