"""The classifier of gestures: one hidden layer on what is known of a hand's pose, and how it learns and is calibrated.

Dibra et al., "Monocular RGB Hand Pose Inference from Unsupervised Refinable Nets", CVPRW 2018, section 5.4: "Training was done with one
hidden layer of 500 neurons with Relu activation and dropout probability of 0.5", on predicted joint angles, ten folds. So it is here.

Not said, and chosen here on the photos of 132 people that are free to learn from (`benchmarks/gestures.py` scores on others):

- **Loss and optimiser**: cross-entropy; AdamW, 200 steps of 32 hands, rate 0.004, falling to 0 as a cosine, weight decay 0.0001.
- **Input**: each feature minus its mean, over its deviation, both of the hands learnt from. Which angles: `predict/gestures.py`.
- **No gesture**: one more output, `none`. It learns from hands that are put together anew in every step: each finger (and the palm) of
  another hand learnt from. Such a hand is as well or as badly seen as real ones, but in poses between and beside the gestures; where they
  are as frequent as a gesture, the gesture is unlikely. Without this the network, which knows nothing but gestures, is sure of one
  whatever a hand does. Hands that show no gesture may be given, too, and are learnt as `none` beside these.
- **Calibration**, on hands that were held out in cross-validation. Log-odds are divided by the temperature at which the hands' gestures are
  the likeliest (Guo et al., "On Calibration of Modern Neural Networks", ICML 2017). Then those of `none` are lowered until at most
  `TAKEN_FOR_NONE` of the hands that show a gesture are likelier to show none: of a dozen pictures a gesture the network learns
  too narrowly what a gesture may look like. They are never raised.
- **Threshold** of the probability, below which a hand is called `none`: the lowest one, from 0.5 on, at which at least `PRECISION` of the
  held-out hands that reach it are right; `PRECISION` itself where none is good enough.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

PRECISION = 0.98
"""Share of the hands named that is to be right."""

TAKEN_FOR_NONE = 0.05
"""Share of the hands held out that may be called none for being unlike all gestures."""

Parts = Sequence[Sequence[int]]
"""Numbers of features that belong together, as those of a finger; together they are all."""


@dataclass
class GestureConfig:
    """How the classifier is built and learns."""

    hidden: int = 500
    """neurons of the hidden layer"""
    dropout: float = 0.5
    """share of them that is left out in each step of training"""
    steps: int = 200
    """of training"""
    batch: int = 32
    """hands in each, and as many mixed ones"""
    rate: float = 4e-3
    """of learning, at first"""
    decay: float = 1e-4
    """of weights"""
    mixed: float = 1.0
    """weight of hands put together of several, which are none; 0: there are none"""


class GestureNet(nn.Module):
    """Features of hands (B, F) in, log-odds or probabilities of C gestures and of `none`, the last, out.

    Args:
        mean, deviation: (F,) of the features.
        gestures: C.
        config: its size.
    """

    mean: Tensor
    deviation: Tensor
    temperature: Tensor
    offset: Tensor

    def __init__(self, mean: Tensor, deviation: Tensor, gestures: int, config: GestureConfig) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("deviation", deviation)
        self.register_buffer("temperature", torch.ones(()))
        self.register_buffer("offset", torch.zeros(gestures + 1))
        self.layers = nn.Sequential(
            nn.Linear(len(mean), config.hidden),
            nn.ReLU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.hidden, gestures + 1),
        )

    def logits(self, features: Tensor) -> Tensor:
        """(B, C + 1), before calibration."""
        found: Tensor = self.layers((features - self.mean) / self.deviation)
        return found

    def forward(self, features: Tensor) -> tuple[Tensor]:
        """Probabilities (B, C + 1), calibrated."""
        return (torch.softmax(self.logits(features) / self.temperature + self.offset, dim=1),)

    def calibrate(self, calibration: Calibration) -> None:
        """Have its probabilities be those of the calibration."""
        self.temperature.fill_(calibration.temperature)
        self.offset[-1] = calibration.offset


def learn(
    features: np.ndarray,
    labels: np.ndarray,
    gestures: int,
    parts: Parts,
    seed: int = 0,
    config: GestureConfig | None = None,
) -> GestureNet:
    """A classifier that has learnt hands; the same for the same seed.

    Args:
        features: (N, F).
        labels: (N,) from 0 to C; C is none.
        gestures: C.
        parts: what is mixed as a whole.
        seed: of first weights, batches, dropout and mixed hands.
        config: how it learns.
    """
    config = GestureConfig() if config is None else config
    values, names = torch.from_numpy(features).float(), torch.from_numpy(labels).long()
    with _alone(seed):
        net = GestureNet(values.mean(0), values.std(0, correction=0).clamp_min(1e-3), gestures, config)
        optimiser = torch.optim.AdamW(net.parameters(), config.rate, weight_decay=config.decay, fused=True)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, config.steps)
        for _ in range(config.steps):
            chosen = torch.randint(len(values), (config.batch,))
            shown = [values[chosen]]
            if config.mixed > 0:
                shown.append(mixed_hands(values, parts, config.batch))
            logits = net.logits(torch.cat(shown)).split(config.batch)
            loss = nn.functional.cross_entropy(logits[0], names[chosen])
            for none in logits[1:]:
                loss = loss + config.mixed * nn.functional.cross_entropy(none, torch.full((config.batch,), gestures))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return net.eval()


def mixed_hands(features: Tensor, parts: Parts, count: int) -> Tensor:
    """Hands (`count`, F) each part of which is of a random one of the hands (N, F)."""
    mixed = features.new_empty(count, features.shape[1])
    for part in parts:
        mixed[:, part] = features[torch.randint(len(features), (count,))][:, part]
    return mixed


def held_out_logits(
    features: np.ndarray,
    labels: np.ndarray,
    gestures: int,
    parts: Parts,
    fold_of: np.ndarray,
    seed: int = 0,
    config: GestureConfig | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> np.ndarray:
    """Log-odds (N, C + 1) of each hand by a classifier that learnt the hands of all other folds; arguments as for `learn`.

    Args:
        fold_of: (N,) numbers of folds.
        progress: called with the number of folds done, and how many there are.
    """
    found = np.empty((len(features), gestures + 1), np.float32)
    folds = np.unique(fold_of)
    for done, fold in enumerate(folds.tolist(), 1):
        held = fold_of == fold
        net = learn(features[~held], labels[~held], gestures, parts, seed, config)
        found[held] = logits_of(net, features[held])
        progress(done, len(folds))
    return found


def logits_of(net: GestureNet, features: np.ndarray) -> np.ndarray:
    """(N, C + 1) of features (N, F)."""
    with torch.no_grad():
        return net.logits(torch.from_numpy(features).float()).numpy()


def calibrated(
    features: np.ndarray,
    labels: np.ndarray,
    gestures: int,
    parts: Parts,
    fold_of: np.ndarray,
    seed: int = 0,
    config: GestureConfig | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Calibration, np.ndarray]:
    """How to read the classifier's log-odds, and those (N, C + 1) of the hands held out, which say so; arguments as `held_out_logits`."""
    logits = held_out_logits(features, labels, gestures, parts, fold_of, seed, config, progress)
    return calibration_of(logits, labels), logits


@dataclass(frozen=True)
class Calibration:
    """How log-odds (N, C + 1) become probabilities, and these names; the head of this module says how the three numbers are found."""

    temperature: float
    offset: float
    threshold: float

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """(N, C + 1)."""
        scaled = logits.astype(np.float64) / self.temperature
        scaled[:, -1] += self.offset
        return _softmax(scaled)

    def names(self, logits: np.ndarray) -> np.ndarray:
        """(N,) the gesture, C where none is sure enough."""
        likely = self.probabilities(logits)[:, :-1]
        return np.where(likely.max(1) >= self.threshold, likely.argmax(1), likely.shape[1])


def calibration_of(logits: np.ndarray, labels: np.ndarray) -> Calibration:
    """From log-odds (N, C + 1) of hands held out, and what they show, (N,) from 0 to C."""
    shown = labels < logits.shape[1] - 1
    temperature = _best_temperature(logits[shown, :-1], labels[shown])
    scaled = logits[shown].astype(np.float64) / temperature
    unlike = scaled[:, -1] - np.log(np.exp(scaled[:, :-1] - scaled.max(1, keepdims=True)).sum(1)) - scaled.max(1)
    offset = min(0.0, -float(np.quantile(unlike, 1 - TAKEN_FOR_NONE)))
    probabilities = Calibration(temperature, offset, PRECISION).probabilities(logits)
    return Calibration(temperature, offset, _lowest_threshold(probabilities, labels))


_TEMPERATURES = np.geomspace(0.5, 8.0, 97)  # where all of a few hands are right, the likeliest would be 0


def _best_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """That of `_TEMPERATURES` at which the labels (N,) are the likeliest, of log-odds (N, C)."""
    rows = np.arange(len(labels))

    def surprise(temperature: float) -> float:
        return -float(np.log(np.maximum(_softmax(logits / temperature)[rows, labels], 1e-12)).mean())

    return float(min(_TEMPERATURES, key=surprise))


def _lowest_threshold(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Of probabilities (N, C + 1), in hundredths."""
    likeliest, sure = probabilities[:, :-1].argmax(1), probabilities[:, :-1].max(1)
    for hundredths in range(50, round(100 * PRECISION)):
        named = sure >= hundredths / 100
        if named.any() and (likeliest == labels)[named].mean() >= PRECISION:
            return hundredths / 100
    return PRECISION


def _softmax(values: np.ndarray) -> np.ndarray:
    powers = np.exp(values - values.max(1, keepdims=True))
    result: np.ndarray = powers / powers.sum(1, keepdims=True)
    return result


@contextmanager
def _alone(seed: int) -> Iterator[None]:
    """Random numbers of this seed, and one thread, so that sums are always made in one order; afterwards all is as before."""
    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)
