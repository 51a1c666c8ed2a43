"""Joint angles as anatomists name them: 23 degrees of freedom with limits, and both ways to joint rotations. For NumPy and PyTorch.

Every rotating joint turns about axes fixed in its own rest frame (all rest frames are the hand frame: x radial, y distal,
z palmar). A joint with two or three angles composes them outermost first: deviation / abduction, then flexion, then twist,

    R = R(abduction) R(flexion) R(twist).

Zero is the flat hand, fingers straight and parallel to the middle finger; the thumb's zero at the CMC joint is its relaxed
position beside the palm. Flexion is positive towards the palm, abduction positive towards the thumb's side (for the thumb:
away from the palm), deviation positive to the thumb's side.
"""

from __future__ import annotations

import numpy as np

from phalanx.core.arrays import Array, like, namespace, zeros
from phalanx.hand.skeleton import FINGER_NAMES

ANGLE_NAMES = (
    "wrist_flexion",
    "wrist_deviation",
    "wrist_twist",
    "thumb_cmc_flexion",
    "thumb_cmc_abduction",
    "thumb_mcp_flexion",
    "thumb_ip_flexion",
    *(
        f"{finger}_{angle}"
        for finger in FINGER_NAMES[1:]
        for angle in ("mcp_flexion", "mcp_abduction", "pip_flexion", "dip_flexion")
    ),
)

JOINT_OF_ANGLE = (0, 0, 0, 1, 1, 2, 3, 4, 4, 5, 6, 7, 7, 8, 9, 10, 10, 11, 12, 13, 13, 14, 15)
"""For each angle the index into the 16 rotating joints."""

FLEXION = (0, 3, 5, 6, 7, 9, 10, 11, 13, 14, 15, 17, 18, 19, 21, 22)
"""For each rotating joint its flexion angle."""

ABDUCTION = {0: 1, 1: 4, 4: 8, 7: 12, 10: 16, 13: 20}
"""Rotating joint -> its deviation or abduction angle."""


def _unit(*vector: float) -> tuple[float, float, float]:
    v = np.array(vector) / np.linalg.norm(vector)
    return float(v[0]), float(v[1]), float(v[2])


def _axes() -> tuple[tuple[float, float, float], ...]:
    # The wrist's angles move the *forearm* against the palm: where the hand flexes, the forearm's end nears the palm's side.
    rows = [_unit(-1, 0, 0), _unit(0, 0, 1), _unit(0, 1, 0)]
    # Thumb: flexion carries it across the palm, abduction lifts it out of the palm; MCP and IP share one flexion axis.
    rows += [THUMB_FLEXION, THUMB_ABDUCTION, THUMB_HINGE, THUMB_HINGE]
    # Fingers: the knuckles lie on an arch, so flexion axes fan and finger tips converge on the thumb's base.
    for tilt in FINGER_TILT:
        flexion = _unit(np.cos(tilt), 0, np.sin(tilt))
        rows += [flexion, _unit(0, 0, -1), flexion, flexion]
    return tuple(rows)


THUMB_DIRECTION = _unit(0.628, 0.387, 0.675)
THUMB_HINGE = _unit(0.03, -0.77, 0.63)
THUMB_FLEXION = _unit(0.03, -0.77, 0.63)
THUMB_ABDUCTION = _unit(*np.cross(THUMB_DIRECTION, THUMB_FLEXION))
FINGER_TILT = tuple(np.deg2rad([9.0, 3.0, -3.0, -9.0]))

AXES = np.array(_axes())
"""(23, 3) unit axes in the hand frame at rest."""

LIMITS = np.deg2rad(
    [
        [-75.0, 80.0],
        [-45.0, 35.0],
        [-45.0, 45.0],
        [-40.0, 55.0],
        [-55.0, 40.0],
        [-30.0, 75.0],
        [-35.0, 95.0],
        *[[-35.0, 100.0], [-25.0, 35.0], [-12.0, 120.0], [-25.0, 95.0]],
        *[[-35.0, 100.0], [-25.0, 25.0], [-12.0, 120.0], [-25.0, 95.0]],
        *[[-35.0, 100.0], [-35.0, 20.0], [-12.0, 120.0], [-25.0, 95.0]],
        *[[-35.0, 100.0], [-45.0, 20.0], [-12.0, 120.0], [-25.0, 95.0]],
    ]
)
"""(23, 2) radians: wide enough for lax hands, active and passive."""


def axis_angle_to_rotation(axis: Array, angle: Array) -> Array:
    """Rodrigues: unit axes (..., 3) and angles (...) -> (..., 3, 3)."""
    xp = namespace(axis)
    x, y, z = axis[..., 0], axis[..., 1], axis[..., 2]
    zero = xp.zeros_like(x)
    cross = xp.stack((zero, -z, y, z, zero, -x, -y, x, zero), axis=-1).reshape(*axis.shape, 3)
    outer = axis[..., :, None] * axis[..., None, :]
    sine, cosine = xp.sin(angle)[..., None, None], xp.cos(angle)[..., None, None]
    return cosine * like(np.eye(3), axis) + sine * cross + (1 - cosine) * outer


def angles_to_rotations(angles: Array) -> Array:
    """Anatomical angles (B, 23) in radians -> local rotations (B, 16, 3, 3)."""
    single = axis_angle_to_rotation(like(AXES, angles), angles)  # (B, 23, 3, 3)
    rotations = [single[:, flexion] for flexion in FLEXION]
    rotations[0] = rotations[0] @ single[:, 2]  # the wrist twists innermost
    for joint, angle in ABDUCTION.items():
        rotations[joint] = single[:, angle] @ rotations[joint]
    stacked: Array = namespace(angles).stack(rotations, axis=1)
    return stacked


def rotations_to_angles(rotations: Array) -> Array:
    """Local rotations (B, 16, 3, 3) -> the anatomical angles (B, 23) that explain them best, radians.

    Exact for rotations that `angles_to_rotations` made with abduction inside (-90, 90) degrees; for others, hinge joints keep the
    turn about their axis and two-axis joints the direction of their bone's flexion frame. What is left (twist of a finger) has
    no name here.
    """
    xp, axes = namespace(rotations), like(AXES, rotations)
    angles = zeros((len(rotations), len(ANGLE_NAMES)), rotations)
    flexion_axes = axes[list(FLEXION)]  # (16, 3)
    hinges = [joint for joint in range(16) if joint not in ABDUCTION]
    angles[:, [FLEXION[j] for j in hinges]] = _twist_angle(rotations[:, hinges], flexion_axes[hinges])
    # Bases of the fingers: R f = R_a(abduction) f whatever the flexion.
    bases = [joint for joint in ABDUCTION if joint != 0]
    abductions, flexions = [ABDUCTION[j] for j in bases], [FLEXION[j] for j in bases]
    a, f = axes[abductions], axes[flexions]  # (5, 3)
    rotation = rotations[:, bases]  # (B, 5, 3, 3)
    image = (rotation @ f[..., None])[..., 0]
    alpha = xp.arctan2((image * xp.cross(a, f, axis=-1)).sum(-1), (image * f).sum(-1) - xp.square((a * f).sum(-1)))
    angles[:, abductions] = alpha
    angles[:, flexions] = _twist_angle(_about(a, -alpha) @ rotation, f)
    # The wrist: three axes a, f, t orthogonal, R = R_a R_f R_t, so R t = R_a R_f t.
    rotation = rotations[:, 0]
    f, a, t = axes[:3]
    image = rotation @ t
    flexion = xp.arcsin(xp.clip(image @ xp.cross(f, t, axis=-1), -1, 1))
    turned = xp.cos(flexion)
    alpha = xp.arctan2((image @ xp.cross(a, t, axis=-1)) / turned, (image @ t) / turned)
    rest = _about(f, -flexion) @ (_about(a, -alpha) @ rotation)
    angles[:, 0], angles[:, 1] = flexion, alpha
    angles[:, 2] = _twist_angle(rest[:, None], t[None])[:, 0]
    return angles


def _about(axis: Array, angle: Array) -> Array:
    return axis_angle_to_rotation(namespace(axis).broadcast_to(axis, (*angle.shape, 3)), angle)


def _twist_angle(rotation: Array, axis: Array) -> Array:
    """Turn of (B, J, 3, 3) about unit axes (J, 3): the twist of the swing-twist decomposition, (B, J)."""
    xp, r = namespace(rotation), rotation
    skew = xp.stack(
        (r[..., 2, 1] - r[..., 1, 2], r[..., 0, 2] - r[..., 2, 0], r[..., 1, 0] - r[..., 0, 1]), axis=-1
    )  # 2 sin(angle) axis
    trace = r.reshape(*r.shape[:-2], 9)[..., ::4].sum(-1)
    # Quaternion (w, xyz) up to one positive factor: 1 + trace, skew; its twist about the axis.
    return 2 * xp.arctan2((skew * axis).sum(-1), 1 + trace)
