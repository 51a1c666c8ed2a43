"""Whether a small network tells synthetic hands from real ones, for `realism.py`: crops of hands alone, and the area under its ROC.

The synthetic pictures are copies of the real photos' hands, as the estimator sees those, so that neither poses nor views give them away.
Real and synthetic pictures go the same way: the estimator finds the hand, the crop is cut around it with the hand upright, brought to
64 x 64 pixels and through JPEG; what lies outside the hand's silhouette, as predicted, is taken away.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from phalanx.core.errors import InputError
from phalanx.data.images import read_image
from phalanx.geometry.crops import box_around_points, square_crop, upright_angle
from phalanx.hand.prediction import HandPrediction
from phalanx.hand.skeleton import FOREARM
from phalanx.metrics.classification import grouped_folds
from phalanx.predict.predictor import Predictor
from phalanx.render.visibility import visibility

SIZE = 64  # of the crops
COARSE = 4  # times coarser pixels that show shading alone
QUALITY = 90  # of their JPEG
FACTOR = 1.2  # side of the crops over the extent of the joints
FOLDS = 5
EPOCHS = 8
BATCH = 64


def read_people(folder: Path) -> tuple[list[Path], np.ndarray]:
    """Photos (N) and the person (N,) of each, as `persons.csv` (columns photo, person) in the folder has them."""
    try:
        with (folder / "persons.csv").open(newline="", encoding="utf-8") as file:
            rows = [(row["photo"], row["person"]) for row in csv.DictReader(file)]
    except (OSError, KeyError) as error:
        raise InputError(f"{folder / 'persons.csv'}: a table with the columns photo and person is needed") from error
    if not rows:
        raise InputError(f"{folder / 'persons.csv'}: lists no photos")
    return [folder / photo for photo, _ in rows], np.array([person for _, person in rows])


def look(predictor: Predictor, path: Path, size: int) -> tuple[np.ndarray, HandPrediction | None]:
    """A photo at `size` pixels, mirrored if it shows a left hand, and the right hand found in it."""
    image = read_image(path)
    side = min(image.shape[:2])
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    image = cv2.resize(image[top : top + side, left : left + side], (size, size), interpolation=cv2.INTER_AREA)
    hands = predictor(image, box="whole")
    if hands and hands[0].side == "left":
        image = np.ascontiguousarray(image[:, ::-1])
        hands = predictor(image, box="whole", side="right")
    return image, hands[0] if hands else None


def hand_crop(predictor: Predictor, image: np.ndarray, hand: HandPrediction) -> np.ndarray:
    """The hand's crop after JPEG (SIZE, SIZE, 3), and in a fourth channel its silhouette, 255 inside. Two pixels at
    its edge are left out: there, what lies behind a hand that was not found exactly would tell photos from copies."""
    box = box_around_points(hand.joints_2d, FACTOR, upright_angle(hand.joints_2d))
    crop, crop_to_image = square_crop(image, box, SIZE)
    model = predictor.model
    faces = model.faces[(model.parts[model.faces] != FOREARM).all(1)]
    K = torch.as_tensor(np.linalg.inv(crop_to_image) @ hand.K, dtype=torch.float32)[None]
    vertices = torch.as_tensor(hand.vertices, dtype=torch.float32)[None]
    inside = (visibility(vertices, faces, K, SIZE, SIZE)[0] >= 0).numpy().astype(np.uint8)
    inside = cv2.erode(inside, np.ones((5, 5), np.uint8), borderValue=0)
    encoded = cv2.imencode(".jpg", crop[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1]
    crop = cv2.imdecode(encoded, cv2.IMREAD_COLOR)[..., ::-1]
    return np.dstack([crop, 255 * inside])


def crops_of(predictor: Predictor, images: Iterable[np.ndarray]) -> np.ndarray:
    """`hand_crop` of pictures of right hands; a picture in which no hand is found gives an empty crop."""
    empty = np.zeros((SIZE, SIZE, 4), np.uint8)
    found = ((image, predictor(image, box=(0, 0, *image.shape[1::-1]), side="right")) for image in images)
    return np.stack([hand_crop(predictor, image, hands[0]) if hands else empty for image, hands in found])


class _Judge(nn.Sequential):
    """From crops (B, 4, SIZE, SIZE) to the logit (B, 1) that they are synthetic."""

    def __init__(self) -> None:
        layers: list[nn.Module] = []
        for before, after in ((4, 16), (16, 32), (32, 48)):
            layers += [nn.Conv2d(before, after, 3, 2, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
        super().__init__(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(48, 1))


def levelled(crops: np.ndarray, level: bool) -> Tensor:
    """Crops (N, S, S, 4) as the judge takes them; with `level` each colour has mean 0 and standard deviation 1 in each hand, so
    that skin tone, exposure and white balance say nothing."""
    values = torch.as_tensor(crops).permute(0, 3, 1, 2).float() / 255
    image, inside = values[:, :3], values[:, 3:]
    if level:
        area = inside.sum((2, 3), keepdim=True).clamp_min(1)
        image = image - (image * inside).sum((2, 3), keepdim=True) / area
        spread = ((image.square() * inside).sum((2, 3), keepdim=True) / area).sqrt()
        image = image / spread.clamp_min(1e-3)
    else:
        image = 4 * (image - 0.45)
    return torch.cat([image * inside, inside], 1)


def area_under_roc(scores: np.ndarray, positive: np.ndarray) -> float:
    """The share of pairs in which the positive scores higher."""
    order = scores.argsort(kind="stable")
    ranks = np.empty(len(scores))
    ranks[order] = np.arange(1, len(scores) + 1)
    count = int(positive.sum())
    return float((ranks[positive].sum() - count * (count + 1) / 2) / (count * (len(scores) - count)))


def told_apart(real: np.ndarray, made: np.ndarray, of: np.ndarray, level: bool, coarse: bool, seed: int) -> np.ndarray:
    """How well hands are told apart for people whom the judge has not seen, neither them nor copies of their hands: (FOLDS, 2).

    First the area under the ROC; then, for where that is nearly 1, the distance of the mean scores in (pooled) standard deviations.

    Args:
        real: crops (N, S, S, 4).
        made: (M, S, S, 4), the copy of photo `i % N` each.
        of: (N,) person of each photo.
        level: see `levelled`.
        coarse: see pixels of `COARSE` times the side, which leaves shading and no texture, and nothing within two more pixels of the
            hand's edge.
        seed: of folds and network.
    """
    crops = np.concatenate([real, made])
    if coarse:
        crops[..., 3] = [cv2.erode(inside, np.ones((5, 5), np.uint8), borderValue=0) for inside in crops[..., 3]]
    images = functional.avg_pool2d(levelled(crops, level), COARSE if coarse else 1)
    person = np.concatenate([of, of[np.arange(len(made)) % len(of)]])
    truth = torch.arange(len(images)) >= len(real)
    seen = images[:, 3].mean((1, 2)) > 0.05  # of the crop; fewer pixels than that are no hand
    fold_of = torch.as_tensor(grouped_folds(person, FOLDS, seed))
    return np.array(
        [_fold(images, truth, seen & (fold_of != fold), seen & (fold_of == fold), seed) for fold in range(FOLDS)]
    )


def _fold(images: Tensor, truth: Tensor, train: Tensor, test: Tensor, seed: int) -> tuple[float, float]:
    torch.manual_seed(seed)
    judge = _Judge().train()
    optimiser = torch.optim.AdamW(judge.parameters(), 3e-3, weight_decay=0.01)
    chosen = train.nonzero()[:, 0]
    batches = len(chosen) // min(BATCH, len(chosen))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, EPOCHS * batches + 1)
    reach = images.shape[-1] // 20
    weight = (~truth[train]).sum() / truth[train].sum()  # there may be several copies of a photo
    for _ in range(EPOCHS):
        for batch in chosen[torch.randperm(len(chosen))].tensor_split(batches):
            shift = torch.randint(-reach, reach + 1, (2,)).tolist()
            logit = judge(images[batch].roll(shift, (2, 3)))[:, 0]
            loss = functional.binary_cross_entropy_with_logits(logit, truth[batch].float(), pos_weight=weight)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    judge.eval()
    with torch.no_grad():
        scores = torch.cat([judge(part)[:, 0] for part in images[test].split(256)])
    ours, theirs = scores[truth[test]], scores[~truth[test]]
    distance = (ours.mean() - theirs.mean()) / ((ours.var() + theirs.var()) / 2).sqrt()
    return area_under_roc(scores.numpy(), truth[test].numpy()), float(distance)
