"""Fits of keypoints, which take arrays, for tests that reckon with tensors."""

import torch

from phalanx.core.records import map_fields
from phalanx.fit import missing, outliers, pictures, sequences
from phalanx.fit.chain import numpy_chain_of
from phalanx.fit.pictures import PictureJoints
from phalanx.hand.plain import plain_hand


def array(value):
    return value.numpy() if isinstance(value, torch.Tensor) else value


def tensor(value):
    return torch.from_numpy(value.copy())


def given(joints):
    """`PictureJoints` of tensors as one of arrays."""
    return PictureJoints(*(array(value) for value in vars(joints).values()))


def fit_recording(model, joints, seen=None, one_hand=False):
    fit = sequences.fit_recording(model, array(joints), array(seen), one_hand)
    return sequences.RecordingFit(fit.pose.map(tensor), tensor(fit.outliers))


def fit_picture_recording(model, joints, one_hand=False):
    fit = sequences.fit_picture_recording(model, given(joints), one_hand)
    return sequences.RecordingFit(fit.pose.map(tensor), tensor(fit.outliers))


def movements(joints, seen=None):
    return tensor(sequences.movements(array(joints), array(seen)))


def solve_robustly(model, joints, seen):
    """Joints (T, 21, 3) of the hands found, and which are misplaced."""
    chain = numpy_chain_of(model)
    state, wrong = outliers.solve_robustly(chain, plain_hand(model).rest_joints, array(joints), array(seen))
    return tensor(outliers.joints_of(chain, state)), tensor(wrong)


def solve_pictures(model, joints):
    """Joints of the hands found, their cost, how far each lies beside its picture, and their state."""
    chain, joints = numpy_chain_of(model), given(joints)
    state, cost = pictures.solve_pictures(chain, joints)
    off = pictures.picture_distances(chain, state, joints)
    return tensor(outliers.joints_of(chain, state)), tensor(cost), tensor(off), map_fields(state, tensor)


def misplaced_joints(model, joints, seen):
    return tensor(missing.misplaced_joints(plain_hand(model).rest_joints, array(joints), array(seen)))
