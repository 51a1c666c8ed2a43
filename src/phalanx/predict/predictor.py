"""`Predictor`: one picture in, the hands in it out.

    picture -> detector -> a square around each hand, turned until the hand points up -> estimator, all crops in one batch
        -> closer or turned looks where they are worth it -> each hand once -> fit of the hand model -> HandPrediction

What is looked at again, and which view of a hand is believed, is in `looks`; which side a hand is, in `sides`; which detections
are dropped or are the same hand, in `merge`. Where a box is given there is one hand in it, and its first look is the box.

The estimator and the hand model know right hands only. If the picture shows a left hand, each crop is flipped left to
right and its camera with it; what comes out lives in the mirrored camera frame and goes back by negating x.

All of this is NumPy, OpenCV and ONNX Runtime. PyTorch is imported only where a network of its own, or another device, is asked for.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from phalanx.core.devices import as_device
from phalanx.core.errors import InputError
from phalanx.core.isolated import isolated
from phalanx.core.precision import Precision
from phalanx.data.camera_files import as_calibration
from phalanx.fit.joints import fit_evidence
from phalanx.fit.refine import refine_evidence
from phalanx.geometry.crops import SquareBox, box_around_picture
from phalanx.hand.plain import PlainHand
from phalanx.hand.prediction import HandPrediction, Side
from phalanx.predict.detection import Detection, find_hands
from phalanx.predict.gestures import GestureClassifier, load_gestures
from phalanx.predict.inputs import (
    MAX_HANDS,
    MIN_SCORE,
    PictureCamera,
    as_box,
    as_photo,
    camera_in_file,
    check_limits,
    check_options,
    check_squares,
    picture_camera,
)
from phalanx.predict.looks import CropEstimator, Look, See, View, see_all, see_closer, surest_of_each, surest_views
from phalanx.predict.merge import FAINT, belief, different_hands, is_hand
from phalanx.predict.posing import Fit, Found, Hand, pose_hands, score
from phalanx.predict.runtime import OnnxEstimator, estimator_for, load_detector
from phalanx.predict.sides import kinds_to_look_for, side_of
from phalanx.predict.straight import StraightPicture, straighten

if TYPE_CHECKING:
    from phalanx.hand.model import HandModel

MAX_CLAIMS = 8
"""Claims of the detector that are looked at beyond as many as hands are wanted."""


class Predictor:
    """Finds the hands in a picture: `Predictor()(image)` gives a list of `HandPrediction`.

    Threads may share a predictor; it can be copied, sent to other processes, and used in forked ones, where PyTorch then computes
    with one thread.

    Args:
        estimator: a network of PyTorch that looks at crops (`methods.base.HandEstimator`), or a `runtime.OnnxEstimator`; or a file
            of the default estimator: a model (.onnx), or weights for PyTorch (.safetensors). None takes those in the package.
        device: where a network computes, as PyTorch names it; it is moved there. The fit computes on the CPU.
        model: the hand model that the estimator was trained for (default: the open hand).
        fit: how the hand model is posed on evidence (default: `fit.joints.fit_evidence`). It gets and gives NumPy arrays.
        precision: auto is the fastest, on the CPU that of the model on ONNX Runtime; others are PyTorch's.
        detector: what finds hands (`methods.detector`). None takes the one in the package, when it is first needed.
        gestures: what names the gestures of hands: a file that `phalanx gestures train` wrote, or a `GestureClassifier`; None: nothing.
        refine: fit the hand to the estimator's mask, too (`fit.refine`; docs/refinement.md says what that is worth). It goes with the
            default estimator on the CPU, and takes the place of `fit`.

    Raises:
        InputError: the weights are missing or damaged or of another hand, there is no such device, or the estimator has no mask.
    """

    @isolated
    def __init__(
        self,
        estimator: Any = None,
        device: str = "cpu",
        model: HandModel | None = None,
        fit: Fit = fit_evidence,
        precision: Precision = "auto",
        detector: Any = None,
        gestures: GestureClassifier | str | os.PathLike[str] | None = None,
        refine: bool = False,
    ) -> None:
        if device != "cpu":
            as_device(device)
        self.device = device
        self.hand: Hand = PlainHand.open_hand() if model is None else model
        self.fit = fit
        if estimator is None or isinstance(estimator, str | os.PathLike):
            estimator = estimator_for(None if estimator is None else os.fspath(estimator), self.hand, device, precision)
        elif not isinstance(estimator, OnnxEstimator):
            from phalanx.predict.networks import NetworkEstimator

            estimator = NetworkEstimator(estimator, device)
        if refine:
            if not isinstance(estimator, OnnxEstimator):
                raise InputError(
                    "refine: needs a model on ONNX Runtime (.onnx, on the CPU), as the default estimator is"
                )
            estimator, self.fit = estimator.with_masks(), refine_evidence
        self.estimator: CropEstimator = estimator
        self.detector = detector
        self.gestures = load_gestures(gestures) if isinstance(gestures, str | os.PathLike) else gestures

    @property
    def model(self) -> HandModel:
        """The hand model, for PyTorch; `hand` is the one that is posed here."""
        if isinstance(self.hand, PlainHand):
            from phalanx.hand.model import HandModel

            return HandModel.open_hand()
        return self.hand

    @isolated
    def __call__(
        self,
        image: np.ndarray | str | os.PathLike[str],
        box: Any = None,
        K: Any = None,
        side: Side | Literal["auto"] = "auto",
        mirrored: bool = False,
        hand_length: float | None = None,
        max_hands: int = MAX_HANDS,
        min_score: float = MIN_SCORE,
    ) -> list[HandPrediction]:
        """Predict the hands in `image`.

        Args:
            image: (H, W, 3) RGB, (H, W) or (H, W, 1) grey, or (H, W, 4) RGBA, laid over white; uint8, uint16 or float in [0, 1]. Or
                the path of a picture.
            box: None finds all hands. (x, y, width, height) in pixels of where one hand is, the whole picture being (0, 0, W, H),
                or "whole" for that; the hand should fill a third of it or more.
            K: camera of the whole picture: (3, 3), (3, 4), nine numbers, (fx, fy, cx, cy), or a camera's file, with its lens
                (`data.camera_files`). None takes the focal length in the picture's file, and where there is none assumes 60 degrees
                across the longer side.
            side: which of the person's hands are wanted; "auto" takes either. Each hand is judged (`predict.sides`), and those of the
                other side are left out. Where a box is given, or all hands look like the other side, `side` is believed.
            mirrored: the picture is a mirror image, as front cameras often show: a left hand in it looks like a right
                one. Results hold for the picture as given (`HandPrediction.mirrored`).
            hand_length: metres from the wrist to the tip of the stretched middle finger, where known. It settles the
                metric size, for which the model's likeliest is taken otherwise.
            max_hands: the most to find, at least 1.
            min_score: how surely a hand must be there, 0 to 1 (`predict.merge.belief`: detector and estimator together).

        Returns:
            The hands found, the surest first; none is an answer. A hand is left out if the estimator sees none
            where it was detected (`predict.merge`), and if no hand before the camera looks like it: it would reach behind it. Where
            the camera was assumed, longer lenses are tried before that (`cameras_to_try`).

        Raises:
            InputError: one of the arguments is at fault.
        """
        K = None if K is None else as_calibration(K)
        check_options(box, K, side, hand_length)
        check_limits(max_hands, min_score)
        picture, camera, given = self.open_picture(image, K)
        height, width = picture.image.shape[:2]
        if box is None:
            claims = find_hands(self.load_detector(), picture.image, MAX_CLAIMS + max_hands, min(min_score, FAINT))
            seen = [hand for hand in self.detected(picture.image, claims, "auto", mirrored) if hand[1] >= min_score]
            if side != "auto":  # where there is none of it, who gave it knows better
                own = [hand for hand in seen if side_of(hand[0].look.flip, mirrored) == side]
                seen = own or self.detected(picture.image, claims, side, mirrored)
            found = [Found(view, side, hand_length, sure) for view, sure in seen if sure >= min_score][:max_hands]
        else:
            first = box_around_picture(width, height) if isinstance(box, str) else picture.box(as_box(box, *given))
            looks = [Look(0, first, *kind) for kind in kinds_to_look_for(side, mirrored).items()]
            found = [
                Found(view, side, hand_length) for view in surest_views(self.see(picture.image), looks, width, height)
            ]
        hands = pose_hands(self.hand, self.fit, self.estimator.config.size, picture, camera, found, mirrored)
        return self.named([hand for hand in hands if hand is not None])

    def named(self, hands: Sequence[HandPrediction]) -> list[HandPrediction]:
        """The hands with the names of their gestures, if this predictor knows any; else as they are."""
        return list(hands) if self.gestures is None else self.gestures.named(hands)

    @isolated
    def detect(
        self, image: np.ndarray | str | os.PathLike[str], max_hands: int = MAX_HANDS, min_score: float = MIN_SCORE
    ) -> list[Detection]:
        """Where hands are, without looking closer: at most `max_hands`, the surest first, none twice. Arguments as for a call."""
        check_limits(max_hands, min_score)
        return find_hands(self.load_detector(), as_photo(image)[0], max_hands, min_score)

    @isolated
    def follow(
        self,
        image: np.ndarray | str | os.PathLike[str],
        squares: Sequence[SquareBox],
        sides: Sequence[Side | Literal["auto"]],
        K: Any = None,
        mirrored: bool = False,
        hand_lengths: Sequence[float | None] | None = None,
    ) -> list[HandPrediction | None]:
        """Predict the hands in squares that are known, as those of the frame before: one look at each, without the detector.

        Args:
            image, K, mirrored: as for a call.
            squares: where each hand is, pixels; `looks.box_around_joints` gives the square for the next frame.
            sides: of each hand; "auto" looks for both.
            hand_lengths: of each, metres, where known.

        Returns:
            A hand for each square, whatever its score, without its surface, which `Tracker` builds of the filtered hand; None where
            no hand before the camera looks like what is there, or the square lies outside the picture.

        Raises:
            InputError: one of the arguments is at fault, or they are not of one length.
        """
        K = None if K is None else as_calibration(K)
        lengths = [None] * len(squares) if hand_lengths is None else list(hand_lengths)
        check_squares(squares, sides, lengths)
        picture, camera, _ = self.open_picture(image, K)
        looks: list[Look] = []
        for place, (square, side) in enumerate(zip(squares, sides, strict=True)):
            straight = picture.square(square)
            if straight is not None:
                looks += [Look(place, straight, *kind) for kind in kinds_to_look_for(side, mirrored).items()]
        views = surest_of_each(self.see(picture.image)(looks))
        found = [Found(view, sides[view.look.place], lengths[view.look.place]) for view in views]
        hands = pose_hands(self.hand, self.fit, self.estimator.config.size, picture, camera, found, mirrored, bare=True)
        by_place = {view.look.place: hand for view, hand in zip(views, hands, strict=True)}
        return [by_place.get(place) for place in range(len(squares))]

    def load_detector(self) -> Any:
        """The detector; the one in the package is loaded with the first call. Raises InputError if its weights are damaged."""
        if self.detector is None:
            self.detector = load_detector(None, self.hand)
        return self.detector

    def open_picture(
        self, image: np.ndarray | str | os.PathLike[str], K: Any
    ) -> tuple[StraightPicture, PictureCamera, tuple[int, int]]:
        """The picture without its lens, its camera, and width and height as it was given."""
        pixels, focal = as_photo(image)
        height, width = pixels.shape[:2]
        camera = picture_camera(camera_in_file(focal, width, height) if K is None else K, width, height)
        return straighten(pixels, camera), camera, (width, height)

    def see(self, image: np.ndarray) -> See:
        return lambda looks: see_all(self.estimator, image, looks)

    def detected(
        self, image: np.ndarray, claims: Sequence[Detection], side: Side | Literal["auto"], mirrored: bool
    ) -> list[tuple[View, float]]:
        """The surest view of each claim that is a hand, each hand once, and how surely it is one, surest first."""
        height, width = image.shape[:2]
        claims = [claim for claim in claims if claim.square.overlaps(width, height)]
        looks = [
            Look(place, claim.square, *kind)
            for place, claim in enumerate(claims)
            for kind in kinds_to_look_for(side, mirrored, claim.right).items()
        ]
        views = surest_of_each(see_closer(self.see(image), looks, width, height))  # the detector knows which way is up
        hands = [
            (view, belief(claim.score, score(view.sigma)))
            for view, claim in zip(views, claims, strict=True)
            if is_hand(view.joints, score(view.sigma), claim.square)
        ]
        joints, flips = [view.joints for view, _ in hands], [view.look.flip for view, _ in hands]
        kept = [hands[number] for number in different_hands(joints, flips, [sure for _, sure in hands])]
        return sorted(kept, key=lambda hand: -hand[1])
