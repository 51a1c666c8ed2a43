"""Colour of skin from what is in it: melanin in a thin upper layer, haemoglobin in a scattering lower one.

The upper layer, the epidermis, absorbs as melanosomes do, 6.6e11 nm^-3.33 / cm (Jacques 1998, "Skin optics", Oregon Medical Laser
Center News), and light passes it twice. The lower one, the dermis, sends light back as a layer without a floor does (Kubelka and
Munk 1931), with the blood's absorption after Prahl's table of haemoglobin (1999) and scattering after Jacques (1998). Of all light a
small part is sent back before it meets a pigment, and so dark skin flushes less. What comes back is weighted by the matching
functions of CIE 1931 (fitted by Wyman, Sloan and Shirley 2013) under D65 and given in linear sRGB.

`DIRECTIONS` are the changes of log colour that more melanin, more blood, and less light of all colours bring. In them the colour of a
photograph of skin is split into pigments and shading, as Tsumura, Haneishi and Miyake do (1999, 2003).
"""

from __future__ import annotations

import numpy as np

_WAVELENGTHS = np.arange(400.0, 701.0, 10.0)  # nm
# Molar extinction (cm^-1 / M) of oxygenated and of deoxygenated haemoglobin, Prahl 1999.
_OXYGENATED = np.array(
    [
        266232,
        466840,
        480360,
        246072,
        102580,
        62816,
        44480,
        33209,
        26629,
        23684,
        20933,
        20035,
        24202,
        39957,
        53236,
        43016,
    ]
    + [32613, 44496, 50104, 14401, 3200, 1506, 942, 610, 442, 368, 319, 294, 277, 276, 290.0]
)
_DEOXYGENATED = np.array(
    [
        223296,
        303956,
        407560,
        528600,
        413280,
        103292,
        23389,
        16156,
        14550,
        16684,
        20862,
        25773,
        31590,
        39036,
        46592,
        53412,
    ]
    + [53788, 45072, 37020, 28324, 14677, 9444, 6509, 5149, 4345, 3750, 3227, 2795, 2407, 2052, 1794.0]
)
_DAYLIGHT = np.array(  # relative power of D65
    [82.8, 91.5, 93.4, 86.7, 104.9, 117.0, 117.8, 114.9, 115.9, 108.8, 109.4, 107.8, 104.8, 107.7, 104.4, 104.0, 100.0]
    + [96.3, 95.8, 88.7, 90.0, 89.6, 87.7, 83.3, 83.7, 80.0, 80.2, 82.3, 78.3, 69.7, 71.6]
)
_TO_SRGB = np.array([[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570]])
_OXYGENATION = 0.7
_EPIDERMIS = 0.006  # cm
_SLANT = 1.25  # diffuse light passes the epidermis aslant
_UNTOUCHED = 0.032  # share of light that comes back without having met a pigment
_BLOOD_PER_MOLE = 2.303 * 150.0 / 64500.0  # from molar extinction to absorption (1 / cm) of whole blood


def _lobe(mean: float, below: float, above: float) -> np.ndarray:
    width = np.where(_WAVELENGTHS < mean, below, above)
    return np.exp(-0.5 * ((_WAVELENGTHS - mean) / width) ** 2)


def _weights() -> np.ndarray:
    """(31, 3): linear sRGB of a reflectance spectrum under daylight; a white one has 1, 1, 1."""
    x = 1.056 * _lobe(599.8, 37.9, 31.0) + 0.362 * _lobe(442.0, 16.0, 26.7) - 0.065 * _lobe(501.1, 20.4, 26.2)
    y = 0.821 * _lobe(568.8, 46.9, 40.5) + 0.286 * _lobe(530.9, 16.3, 31.1)
    z = 1.217 * _lobe(437.0, 11.8, 36.0) + 0.681 * _lobe(459.0, 26.0, 13.8)
    weights = (np.stack([x, y, z], 1) * _DAYLIGHT[:, None]) @ _TO_SRGB.T
    return weights / weights.sum(0)


_SRGB = _weights()


def reflectance(melanin: np.ndarray, blood: np.ndarray) -> np.ndarray:
    """Linear sRGB reflectance `(..., 3)` of skin.

    Args:
        melanin: (...) share of the epidermis that is melanosomes: 0.01 to 0.06 in light skin, 0.18 to 0.43 in dark (Jacques 1998).
        blood: (...) share of the dermis that is blood, about 0.002 to 0.07.
    """
    melanin, blood = np.asarray(melanin)[..., None], np.asarray(blood)[..., None]
    pigment = 6.6e11 * _WAVELENGTHS**-3.33
    plain = 0.244 + 85.3 * np.exp(-(_WAVELENGTHS - 154.0) / 66.2)  # absorption of skin without either, 1 / cm
    through = np.exp(-2.0 * _SLANT * _EPIDERMIS * (melanin * pigment + (1.0 - melanin) * plain))
    haemoglobin = _OXYGENATION * _OXYGENATED + (1.0 - _OXYGENATION) * _DEOXYGENATED
    absorbed = 2.0 * (blood * _BLOOD_PER_MOLE * haemoglobin + (1.0 - blood) * plain)
    scattered = 0.75 * (2e5 * _WAVELENGTHS**-1.5 + 2e12 * _WAVELENGTHS**-4.0)
    ratio = absorbed / scattered
    back = 1.0 + ratio - np.sqrt(ratio * (ratio + 2.0))
    return (_UNTOUCHED + (1.0 - _UNTOUCHED) * through * back) @ _SRGB


def _directions() -> np.ndarray:
    step = np.log(reflectance(np.array([0.03, 0.04, 0.03]), np.array([0.02, 0.02, 0.03])))
    axes = np.stack([step[0] - step[1], step[0] - step[2], np.ones(3)])
    return axes / axes[:, 1:2]


DIRECTIONS = _directions()
"""(3, 3): by how much more melanin, more blood and less light darken log red, green and blue of light skin; green by 1."""


def separate(colour: np.ndarray) -> np.ndarray:
    """What linear colours `(..., 3)` of skin lack: `(..., 3)` amounts of melanin, of blood and of shade, such that colour is
    exp(-amounts @ DIRECTIONS)."""
    return -np.log(colour) @ np.linalg.inv(DIRECTIONS)


def join(amounts: np.ndarray) -> np.ndarray:
    """The linear colours `(..., 3)` of amounts `(..., 3)`, as `separate` finds them."""
    return np.exp(-amounts @ DIRECTIONS)
