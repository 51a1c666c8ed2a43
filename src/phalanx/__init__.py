"""Phalanx: 3D hand pose and surface from pictures.

>>> import phalanx
>>> hands = phalanx.Predictor()(image)     # image: (H, W, 3) uint8 RGB, or a path

Importing this package is quick: PyTorch is loaded with the first name that needs it.
"""

from typing import TYPE_CHECKING

__version__ = "0.1.0"
__all__ = ["HandPrediction", "InputError", "Predictor", "RigPredictor", "Tracker", "__version__"]

if TYPE_CHECKING:
    from phalanx.core.errors import InputError
    from phalanx.hand.prediction import HandPrediction
    from phalanx.predict.predictor import Predictor
    from phalanx.predict.rig import RigPredictor
    from phalanx.predict.tracker import Tracker

_HOMES = {
    "InputError": "phalanx.core.errors",
    "HandPrediction": "phalanx.hand.prediction",
    "Predictor": "phalanx.predict.predictor",
    "RigPredictor": "phalanx.predict.rig",
    "Tracker": "phalanx.predict.tracker",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'phalanx' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
