"""What a hand is: skeleton, anatomical angles, the skinned model, pose space, the prediction that users get."""

from phalanx.hand.anatomy import AnatomicalPose
from phalanx.hand.model import HandModel, HandPose, HandSurface

__all__ = ["AnatomicalPose", "HandModel", "HandPose", "HandSurface"]
