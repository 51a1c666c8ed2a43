"""Networks on ONNX Runtime: what prediction on the CPU computes with.

    session = open_session("detector.onnx", method="detector")
    (maps,) = session(pixels)                  # NumPy arrays in, NumPy arrays out
    session.about["config"]                    # what the file says of itself (`nets.model_files`)

Threads that wait do not spin: beside other work a spinning thread takes the core that the one it waits for needs.
"""

from __future__ import annotations

import ctypes
import os
import threading
import weakref
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from phalanx.core.errors import InputError
from phalanx.core.precision import Precision
from phalanx.fit.evidence import Evidence
from phalanx.hand.plain import PlainHand
from phalanx.nets import detector_maps
from phalanx.nets.model_files import KEY, about_model, quiet_onnxruntime, read_model

if TYPE_CHECKING:
    import torch

    from phalanx.hand.model import HandModel
    from phalanx.predict.networks import NetworkEstimator

ESTIMATOR = "compact"
"""The method of the default estimator (`methods.compact.METHOD`, whose file imports PyTorch)."""

MOST_THREADS = 2
"""Threads of a session, where nothing else is asked for: our networks are small, and more of them wait for each other."""


_opened: weakref.WeakSet[Session] = weakref.WeakSet()
"""Sessions that must not end in a forked process."""


class Session:
    """A model, ready to run: `session(*inputs)` gives the outputs, arrays in the order of the file.

    Threads may share it. It can be copied and sent to other processes; in forked ones it computes with one thread.

    Args:
        model: serialised ONNX.
        threads: to compute with.

    Attributes:
        about: what the file's metadata say.
        model, threads: as given.
        inputs, outputs: their names.
    """

    def __init__(self, model: bytes, threads: int, about: dict[str, Any] | None = None) -> None:
        self.about: dict[str, Any] = about or {}
        self.model, self.threads, self._lock = model, threads, threading.Lock()
        self._start()

    def __call__(self, *inputs: np.ndarray) -> list[np.ndarray]:
        if self._process != os.getpid():
            with self._lock:
                if self._process != os.getpid():
                    self._start(threads=1)  # a fork has none of the threads that the session counts on
        found: list[np.ndarray] = self._session.run(None, dict(zip(self.inputs, inputs, strict=True)))
        return found

    def metadata(self) -> str:
        """The text of the metadata, empty where there is none."""
        return str(self._session.get_modelmeta().custom_metadata_map.get(KEY, ""))

    def _start(self, threads: int | None = None) -> None:
        onnxruntime = _onnxruntime()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or self.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # what is wrong is raised, too
        options.enable_cpu_mem_arena = False  # as quick without, and 5 MB less are held
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(self.model, options, providers=["CPUExecutionProvider"])
        self.inputs = [each.name for each in self._session.get_inputs()]
        self.outputs = [each.name for each in self._session.get_outputs()]
        _opened.add(self)
        self._process = os.getpid()

    def _stay(self) -> None:
        """Never end: in a forked process the end would wait for threads that are not there."""
        for each in (self._session, self._session._sess):
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(each))

    def __getstate__(self) -> dict[str, Any]:
        return {"model": self.model, "threads": self.threads, "about": self.about}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]


def open_session(
    path: str | os.PathLike[str], method: str | None = None, meaning: str | None = None, threads: int | None = None
) -> Session:
    """The model in a file, ready to run.

    Args:
        path: of a file that `nets.model_files.write_model` wrote.
        method: that it must be of; None: any.
        meaning: checksum of the hand that it must be for; None: any.
        threads: to compute with (default: `usual_threads()`).

    Raises:
        InputError: the file is missing, damaged, no model of this project, or of another version, method or hand.
    """
    path = Path(path)
    model = read_model(path)
    try:
        session = Session(model, threads or usual_threads())
    except Exception as error:  # of many kinds, none of them public
        version = _onnxruntime().__version__
        raise InputError(f"{path}: not a model that ONNX Runtime {version} can run") from error
    session.about = about_model(path, session.metadata(), method, meaning)
    return session


@dataclass(frozen=True)
class CropConfig:
    """What prediction must know of an estimator of crops: their side in pixels."""

    size: int


class OnnxEstimator:
    """An estimator of crops on ONNX Runtime, with the evidence of the PyTorch network that it was exported from.

    Attributes:
        session: what computes; the network's whole configuration is in `session.about`.
        config: of the crops.
    """

    def __init__(self, session: Session, config: CropConfig) -> None:
        self.session, self.config = session, config

    def evidence(self, batch: np.ndarray) -> Evidence[np.ndarray]:
        """What it says of crops (B, 3, S, S) float32 in [0, 1], S as in the configuration."""
        found = dict(zip(self.session.outputs, self.session(np.ascontiguousarray(batch, np.float32)), strict=True))
        maps = found.pop(_MAPS, None)
        mask = None if maps is None else 1 / (1 + np.exp(-maps[:, -1]))
        return Evidence(**found, mask=mask)

    def with_masks(self) -> OnnxEstimator:
        """The same estimator, whose evidence has the hand's mask, too."""
        about, size = self.session.about, self.config.size
        try:
            session = Session(self.session.model + _also(_MAPS), self.session.threads, about)
            session(np.zeros((1, 3, size, size), np.float32))
        except Exception as error:  # of many kinds, none of them public
            raise InputError("refine: this model has no mask of the hand, which refinement needs") from error
        return OnnxEstimator(session, self.config)


_MAPS = "/estimator/maps/Conv_output_0"
"""What the convolution of `methods.compact` that makes all its maps gives, as an export names it; the last is the mask's (logits)."""


def _also(output: str) -> bytes:
    """What makes of a serialised model one with another output, if it stands behind it: messages of Protocol Buffers that come one after
    the other are joined, and of lists all entries stay. Model: graph is field 7; graph: output is 12; its name is 1, its type 2; type:
    tensor is 1; its element type, 1, is float, 1.
    """

    def field(number: int, content: bytes) -> bytes:
        assert len(content) < 128  # one byte tells so many
        return bytes((number << 3 | 2, len(content))) + content

    return field(7, field(12, field(1, output.encode()) + field(2, field(1, b"\x08\x01"))))


def load_estimator(
    path: str | os.PathLike[str] | None = None, hand: HandModel | PlainHand | None = None, threads: int | None = None
) -> OnnxEstimator:
    """The default estimator from a file that `methods.compact.export` wrote (default: the one in the package).

    Args:
        path: of the file.
        hand: the model that it must have been trained for (default: the open hand).
        threads: to compute with (default: `usual_threads()`).

    Raises:
        InputError: the file is at fault, see `open_session`.
    """
    path = shipped_model(ESTIMATOR) if path is None else Path(path)
    session = open_session(path, ESTIMATOR, (hand or PlainHand.open_hand()).checksum(), threads)
    try:
        return OnnxEstimator(session, CropConfig(int(session.about["config"]["size"])))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: the model's configuration is not one of {ESTIMATOR}") from error


@dataclass(frozen=True)
class Calibrated:
    """What prediction must know of a detector (`methods.detector.DetectorConfig.calibration`)."""

    calibration: tuple[float, float]


class OnnxDetector:
    """The detector of hands on ONNX Runtime (`predict.detection.HandDetector`).

    Attributes:
        session: what computes.
        config: the calibration of its confidences; the network's whole configuration is in `session.about`.
    """

    def __init__(self, session: Session, config: Calibrated) -> None:
        self.session, self.config = session, config

    def maps(self, images: np.ndarray) -> np.ndarray:
        """The maps (B, 15, H/4, W/4) of pictures (B, 3, H, W), float32 RGB in [0, 1]."""
        return self.session(images)[0]


def load_detector(
    path: str | os.PathLike[str] | None = None, hand: HandModel | PlainHand | None = None, threads: int | None = None
) -> OnnxDetector:
    """The detector from a file that `methods.detector.export` wrote (default: the one in the package); as `load_estimator`."""
    method = detector_maps.METHOD
    path = shipped_model(method) if path is None else Path(path)
    session = open_session(path, method, (hand or PlainHand.open_hand()).checksum(), threads)
    try:
        slope, offset = map(float, session.about["config"]["calibration"])
        return OnnxDetector(session, Calibrated((slope, offset)))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: the model's configuration is not one of {method}") from error


def estimator_for(
    path: str | os.PathLike[str] | None,
    hand: HandModel | PlainHand | None,
    device: str | torch.device = "cpu",
    precision: Precision = "auto",
) -> OnnxEstimator | NetworkEstimator:
    """The default estimator from a file, as it is fastest: ONNX models on the CPU, weights (safetensors) with PyTorch anywhere.

    Args:
        path: of a model or of weights; None: those in the package, the model where it serves.
        hand: the model that it must have been trained for (default: the open hand).
        device: where it computes, as PyTorch names it.
        precision: other than auto it is PyTorch's.

    Raises:
        InputError: the file is at fault, or is a model and PyTorch is asked for.
    """
    is_model = path is None or Path(path).suffix.lower() == ".onnx"
    if is_model and str(device).partition(":")[0] == "cpu" and precision == "auto":
        return load_estimator(path, hand)
    if is_model and path is not None:
        raise InputError(
            f"{path}: a model computes on the CPU in its own precision; give weights (.safetensors) instead"
        )
    from phalanx.methods.compact import load
    from phalanx.predict.networks import NetworkEstimator

    made_for: Any = hand  # only its checksum is asked for
    return NetworkEstimator(load(None if path is None else Path(path), made_for, precision), device)


def shipped_model(method: str) -> Path:
    """The model of a method that comes with the package."""
    return Path(str(resources.files("phalanx") / "predict" / "weights" / f"{method}.onnx"))


def usual_threads() -> int:
    """How many threads a session has by default: few, no more than there are cores, or than OMP_NUM_THREADS says."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, min(MOST_THREADS, cores, int(asked) if asked.isdecimal() else MOST_THREADS))


@lru_cache
def _onnxruntime() -> Any:
    quiet_onnxruntime()
    import onnxruntime

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_stay_after_fork)
    return onnxruntime


def _stay_after_fork() -> None:
    for session in list(_opened):
        session._stay()
