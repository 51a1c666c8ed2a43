"""What the maps of the detector say (`methods.detector`). PyTorch is not needed to read them."""

METHOD = "detector"
"""What its weights files say they are of."""

STRIDE = 4
"""Pixels of a cell."""

CHANNELS = {"middle": 1, "side": 1, "box": 4, "square": 3, "turn": 2, "palm": 3, "mask": 1}
"""Of the maps, in this order: log-odds of a middle and of a right hand; logarithms of the distances to the box's left, top, right and lower
edge; the square's middle from the cell and the logarithm of its side; cosine and sine of its angle; direction in which the palm faces
(camera frame); log-odds of the hand's mask."""

UNIT = 64.0
"""Pixels that distances and sides are measured in: those of a middling hand."""

LARGEST = 6.0  # times UNIT, at most, for distances and sides
