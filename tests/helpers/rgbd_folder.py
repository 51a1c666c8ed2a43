"""A user's folder of pairs of colour and depth in miniature, and a predictor that sees each hand where it is."""

import json

import cv2
import numpy as np
from posed_prediction import posed_prediction

from phalanx.data.images import image_bytes
from phalanx.hand.plain import PlainHand

UNIT = 0.00025  # metres


def write_pairs(folder, sample, camera=True):
    """Write pictures and depth of a sample, and intrinsics.json with the unit."""
    (folder / "depth").mkdir(parents=True)
    for row in range(len(sample)):
        cv2.imwrite(str(folder / f"{row:02}.png"), image_bytes(sample.image[row])[..., ::-1])
        steps = (sample.sensed_depth[row] / UNIT).round().numpy().astype(np.uint16)
        cv2.imwrite(str(folder / "depth" / f"{row:02}.png"), steps)
    if camera:
        (folder / "intrinsics.json").write_text(json.dumps({"K": [200, 200, 48, 48], "depth_unit": UNIT}))


def see_truly(sample):
    """A predictor that knows the sample's hands and their cameras."""
    model, size = PlainHand.open_hand(), sample.image.shape[-1]
    found = {}
    for row in range(len(sample)):
        arrays = {name: getattr(sample, name)[row].double().numpy() for name in ("joints_2d", "K", "shape", "vertices")}
        hand = posed_prediction(
            sample.joints[row].double().numpy(), "right", width=size, height=size, faces=model.faces, **arrays
        )
        found[image_bytes(sample.image[row]).tobytes()] = hand

    def see(image, **options):
        return [found[image.tobytes()]]

    return see
