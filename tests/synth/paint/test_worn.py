"""Coordinates of the surface that hands wear things on."""

import torch

from phalanx.synth.paint.surface import hand
from phalanx.synth.paint.worn import places_of_texels, places_of_vertices


def test_tips_are_at_the_ends_of_their_fingers_and_nails_on_their_backs():
    model, topology = hand("cpu")
    at = places_of_vertices(torch.device("cpu"))
    for finger, tip in enumerate((4, 8, 12, 16, 20)):
        nearest = (topology.rest - model.rest_joints[tip]).norm(dim=1).argmin()
        assert at.finger[nearest] == finger and 2.5 < at.along[nearest] < 3.5
        own = at.finger == finger
        assert at.along[own].max() > 2.8 and at.along[own].min() < 0.3
    arm = topology.rest[:, 1] < -0.02
    assert (at.finger[arm] == -1).all()
    back = (at.finger > 0) & (at.angle.abs() < 0.5)
    assert (topology.rest_normals[back, 2] < 0.2).float().mean() > 0.97


def test_texels_and_vertices_agree():
    topology = hand("cpu")[1]
    at = places_of_vertices(torch.device("cpu"))
    side = 256
    texel = (topology.split_uv * side).long().clamp(0, side - 1)
    found = places_of_texels(texel[:, 1] * side + texel[:, 0], side, 0.0)
    assert ((found.y - at.y[topology.split]).abs() < 0.004).float().mean() > 0.99
    assert (found.finger == at.finger[topology.split]).float().mean() > 0.95
    assert found.grain > 0.001 and found.seen(0.1) == 1.0 and found.seen(0.001) == 0.0
