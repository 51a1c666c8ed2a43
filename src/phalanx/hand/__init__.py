"""What a hand is: skeleton, anatomical angles, the skinned model, pose space, the prediction that users get.

PyTorch is loaded with the first name that needs it.
"""

from typing import TYPE_CHECKING

from phalanx.hand.pose import HandPose, HandSurface

__all__ = ["AnatomicalPose", "HandModel", "HandPose", "HandSurface"]

if TYPE_CHECKING:
    from phalanx.hand.anatomy import AnatomicalPose
    from phalanx.hand.model import HandModel


def __getattr__(name: str) -> object:
    if name == "HandModel":
        from phalanx.hand.model import HandModel

        return HandModel
    if name == "AnatomicalPose":
        from phalanx.hand.anatomy import AnatomicalPose

        return AnatomicalPose
    raise AttributeError(f"module 'phalanx.hand' has no attribute {name!r}")
