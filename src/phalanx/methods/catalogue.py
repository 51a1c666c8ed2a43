"""Every method, by the name that its weights files bear."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from phalanx.methods import (
    compact,
    cycle_gan,
    dense_hand,
    depth_gan,
    depth_regularizer,
    detector,
    hand_finder,
    lifted_pose,
    multi_view,
    refinable,
    sphere_fitting,
    temporal,
    tonality_gan,
)
from phalanx.methods.base import Method


@dataclass(frozen=True)
class Entry:
    """A method's parts."""

    network: type[Method]
    """`network(config)` is an untrained one."""
    config: type
    """Of the network and its losses, a dataclass; its defaults are those of the shipped weights."""
    load: Callable[..., Method]
    """`load(path=None, hand=None)`: with weights (default: the shipped ones, where the package has some), ready for inference.
    Estimators take `precision`, too."""
    about: str
    """What it is, in a line."""


METHODS: dict[str, Entry] = {
    compact.METHOD: Entry(
        compact.CompactEstimator,
        compact.CompactConfig,
        compact.load,
        "one colour picture to joints, rotations and shape; trained on labelled pictures",
    ),
    cycle_gan.METHOD: Entry(
        cycle_gan.CycleGan,
        cycle_gan.CycleConfig,
        cycle_gan.load,
        "rendered pictures to pictures like photographs, and back; trained on both, without pairs (Zhu et al. 2017)",
    ),
    dense_hand.METHOD: Entry(
        dense_hand.DenseHand,
        dense_hand.DenseHandConfig,
        dense_hand.load,
        "one colour picture to a posed surface; trained on joints and masks, refined on the picture itself (Baek et al. 2019)",
    ),
    depth_gan.METHOD: Entry(
        depth_gan.DepthGAN,
        depth_gan.DepthGANConfig,
        depth_gan.load,
        "one colour picture to joints; trained on labelled pictures and depth maps of others (Chen 2020, chapter 3)",
    ),
    depth_regularizer.METHOD: Entry(
        depth_regularizer.DepthRegularizer,
        depth_regularizer.DepthRegularizerConfig,
        depth_regularizer.load,
        "one colour picture to joints; trained on labelled pictures, and on 2D joints with depth maps (Cai et al. 2018)",
    ),
    detector.METHOD: Entry(
        detector.Detector,
        detector.DetectorConfig,
        detector.load,
        "whole colour pictures to where hands are and which; trained on synthetic frames and photographs without labels",
    ),
    hand_finder.METHOD: Entry(
        hand_finder.HandFinder,
        hand_finder.HandFinderConfig,
        hand_finder.load,
        "cubes of a depth frame to where a hand is and which; trained on synthetic depth",
    ),
    lifted_pose.METHOD: Entry(
        lifted_pose.LiftedPose,
        lifted_pose.LiftedPoseConfig,
        lifted_pose.load,
        "colour to 2D joints, and these to 3D; trained on 3D labels, to compare pictures by (Zimmermann and Brox 2017)",
    ),
    multi_view.METHOD: Entry(
        multi_view.MultiView,
        multi_view.MultiViewConfig,
        multi_view.load,
        "colour pictures of one rig to joints in its world; trained on joints, and on meshes of other pictures (Chen 2020, chapter 5)",
    ),
    refinable.METHOD: Entry(
        refinable.RefinableNet,
        refinable.RefinableConfig,
        refinable.load,
        "one masked colour picture to angles; trained on labelled pictures, refined on depth beside colour (Dibra et al. 2018)",
    ),
    sphere_fitting.METHOD: Entry(
        sphere_fitting.SphereFittingEstimator,
        sphere_fitting.SphereFittingConfig,
        sphere_fitting.load,
        "one depth map to 41 spheres; trained on synthetic depth, then on recordings without labels (Wan et al. 2019)",
    ),
    temporal.METHOD: Entry(
        temporal.Temporal,
        temporal.TemporalConfig,
        temporal.load,
        "clips of colour pictures to joints and mesh; trained on 2D joints, by consistency forward and backward (Chen 2020, chapter 4)",
    ),
    tonality_gan.METHOD: Entry(
        tonality_gan.TonalityGan,
        tonality_gan.TonalityConfig,
        tonality_gan.load,
        "rendered hands to pictures like photographs; trained on photographs without labels (Chen 2020, chapter 2)",
    ),
}
