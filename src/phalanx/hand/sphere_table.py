"""The numbers of the hand as 41 spheres (`hand.spheres`), without PyTorch: which joints each lies between, how far along, shift, radius."""

# One sphere a row: from joint, to joint, how far along, shift towards the palm's side and radius in mm. Places and shifts were
# descended to on the skin of `fit_hand`, then rounded; the radii are what `fit_radii` then says.
_PALM = (
    (0, 5, 0.80, 4.2, 17.9),
    (0, 9, 0.79, 3.1, 16.6),
    (0, 13, 0.76, 3.0, 16.0),
    (0, 17, 0.83, 4.3, 16.6),
    (0, 5, 0.56, 1.3, 20.2),
    (0, 9, 0.57, -0.9, 17.3),
    (0, 13, 0.33, -2.7, 19.9),
    (0, 17, 0.54, 0.1, 22.3),
    (0, 5, 0.24, -1.3, 24.0),
    (0, 13, 0.03, 2.2, 22.0),
    (0, 17, 0.29, -1.1, 25.4),
)
_FINGERS = (
    (1, 2, 0.00, 0.0, 16.5),
    (1, 2, 0.39, 0.0, 21.4),
    (1, 2, 0.84, 0.0, 14.1),
    (2, 3, 0.41, 0.0, 11.5),
    (3, 4, 0.12, 0.0, 11.0),
    (3, 4, 0.70, 0.0, 8.6),
    (5, 6, 0.11, 5.1, 12.7),
    (5, 6, 0.62, 4.7, 10.5),
    (6, 7, 0.18, 4.8, 10.1),
    (6, 7, 0.77, 4.1, 8.8),
    (7, 8, 0.32, 2.8, 8.2),
    (7, 8, 0.76, 1.3, 6.8),
    (9, 10, 0.11, 8.5, 16.3),
    (9, 10, 0.60, 5.6, 10.8),
    (10, 11, 0.08, 5.4, 9.8),
    (10, 11, 0.61, 4.8, 8.7),
    (11, 12, 0.14, 3.2, 8.1),
    (11, 12, 0.71, 1.1, 7.7),
    (13, 14, 0.11, 7.6, 15.2),
    (13, 14, 0.62, 4.6, 9.9),
    (14, 15, 0.12, 4.8, 8.7),
    (14, 15, 0.54, 4.3, 8.1),
    (15, 16, 0.11, 3.4, 7.7),
    (15, 16, 0.64, 1.1, 7.6),
    (17, 18, 0.14, 5.2, 13.0),
    (17, 18, 0.65, 1.9, 8.2),
    (18, 19, 0.05, 3.5, 7.3),
    (18, 19, 0.63, 2.3, 7.1),
    (19, 20, 0.31, 2.0, 6.9),
    (19, 20, 0.89, 1.0, 5.1),
)
SPHERES = (*_PALM, *_FINGERS)
FIRST = tuple(row[0] for row in SPHERES)
SECOND = tuple(row[1] for row in SPHERES)

PALM = tuple(range(11))
"""The spheres in the palm."""

FINGER_SPHERES = tuple(tuple(range(11 + 6 * k, 17 + 6 * k)) for k in range(5))
"""The spheres of each finger, base to tip, thumb first."""

RADII = tuple(row[4] / 1000 for row in SPHERES)
"""The 41 radii of the open hand's mean shape, metres."""
