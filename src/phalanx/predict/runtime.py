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
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from phalanx.core.errors import InputError
from phalanx.nets.model_files import KEY, about_model, read_model

MOST_THREADS = 2
"""Threads of a session, where nothing else is asked for: our networks are small, and more of them wait for each other."""


class Session:
    """A model, ready to run: `session(*inputs)` gives the outputs, arrays in the order of the file.

    Threads may share it. It can be copied and sent to other processes; in forked ones it computes with one thread.

    Args:
        model: serialised ONNX.
        threads: to compute with.

    Attributes:
        about: what the file's metadata say.
        inputs, outputs: their names.
    """

    def __init__(self, model: bytes, threads: int, about: dict[str, Any] | None = None) -> None:
        self.about: dict[str, Any] = about or {}
        self._model, self._threads = model, threads
        self._start()

    def __call__(self, *inputs: np.ndarray) -> list[np.ndarray]:
        if self._process != os.getpid():
            self._start_after_fork()
        found: list[np.ndarray] = self._session.run(None, dict(zip(self.inputs, inputs, strict=True)))
        return found

    def metadata(self) -> str:
        """The text of the metadata, empty where there is none."""
        return str(self._session.get_modelmeta().custom_metadata_map.get(KEY, ""))

    def _start(self, threads: int | None = None) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or self._threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(self._model, options, providers=["CPUExecutionProvider"])
        self.inputs = [each.name for each in self._session.get_inputs()]
        self.outputs = [each.name for each in self._session.get_outputs()]
        self._lock = threading.Lock()
        self._process = os.getpid()

    def _start_after_fork(self) -> None:
        """A fork has none of the threads that the session counts on; one thread needs no others."""
        with self._lock:
            if self._process == os.getpid():
                return
            # Its end would wait for threads that are not there: it stays for ever, one reference too many.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._session._sess))
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._session))
            self._start(threads=1)

    def __getstate__(self) -> dict[str, Any]:
        return {"model": self._model, "threads": self._threads, "about": self.about}

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
        raise InputError(f"{path}: not a model that ONNX Runtime {onnxruntime.__version__} can run") from error
    session.about = about_model(path, session.metadata(), method, meaning)
    return session


def usual_threads() -> int:
    """How many threads a session has by default: few, no more than there are cores, or than OMP_NUM_THREADS says."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, min(MOST_THREADS, cores, int(asked) if asked.isdecimal() else MOST_THREADS))
