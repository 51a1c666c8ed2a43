"""Networks as ONNX models for prediction: float32, float32 kept in half precision, or int8 by calibration."""

from __future__ import annotations

import io
import json
import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from phalanx.core.errors import InputError
from phalanx.nets.model_files import KEY, metadata, quiet_onnxruntime, write_model

Stored = Literal["float32", "float16", "int8"]
"""How a model keeps its weights. It computes float16 ones in float32; int8 ones, and what lies between, in eight bits, but for
convolutions that are spared, whose weights are kept in float16."""

OPSET = 17
"""Version of ONNX's operators."""

MOST_PICTURES = 64
"""What int8 is calibrated on: the histograms of more need more memory."""

_PERCENTILE = 99.99  # of a map's values that its scale spans: the largest of all are few, and would coarsen the others
_LARGE = 1024  # elements of a weight that is worth halving


def export_onnx(
    network: nn.Module,
    path: str | Path,
    example: Tensor,
    outputs: Sequence[str],
    method: str,
    config: Mapping[str, Any],
    meaning: str,
    card: Mapping[str, Any] | None = None,
    stored: Stored = "float32",
    pictures: Tensor | None = None,
    exact: Sequence[str] = (),
    varying: Mapping[int, str] | None = None,
) -> None:
    """Write a network as one file that prediction opens (`predict.runtime.open_session`).

    Args:
        network: in evaluation mode, its batch normalisation folded; `network(example)` gives the outputs as a tuple.
        path: of the file.
        example: input (B, ...); the model takes any B.
        outputs: their names.
        method, config, meaning, card: what the file says of itself (`nets.model_files.metadata`).
        stored: how it keeps its weights.
        pictures: inputs (N, ...) of the kind to expect, on the first `MOST_PICTURES` of which int8 is calibrated.
        exact: int8 spares convolutions whose weights have these names.
        varying: names, by number, of the dimensions of inputs and outputs that may have any size (default: the first).

    Raises:
        InputError: the file cannot be written, or there is no such way to keep weights.
    """
    if stored not in get_args(Stored):
        raise InputError(f"stored: must be 'float32', 'float16' or 'int8', not {stored!r}")
    import onnx

    model = onnx.load_from_string(traced(network, example, outputs, varying))
    if stored == "int8":
        if pictures is None:
            raise ValueError("export_onnx: int8 needs pictures to calibrate on")
        model = _quantised(model, pictures[:MOST_PICTURES].numpy(), exact)
    if stored != "float32":
        _halve(model)
    onnx.helper.set_model_props(model, {KEY: metadata(method, json.loads(json.dumps(config)), meaning, stored, card)})
    write_model(path, model.SerializeToString())


def traced(
    network: nn.Module, example: Tensor, outputs: Sequence[str], varying: Mapping[int, str] | None = None
) -> bytes:
    """The network as serialised ONNX in float32, its input named `images`."""
    assert not network.training
    buffer: Any = io.BytesIO()
    dimensions = {0: "batch"} if varying is None else dict(varying)
    axes = {name: {i: f"{of}_of_{name}" if i else of for i, of in dimensions.items()} for name in ("images", *outputs)}
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the tracing exporter is the old one; the new one needs seconds and onnxscript
        torch.onnx.export(
            network,
            (example,),
            buffer,
            input_names=["images"],
            output_names=list(outputs),
            dynamic_axes=axes,
            opset_version=OPSET,
            dynamo=False,
        )
    return buffer.getvalue()


def _quantised(model: Any, pictures: np.ndarray, exact: Sequence[str]) -> Any:
    """Convolutions in eight bits: a scale for each channel of weights, one for each map, set by what `pictures` make of it."""
    quiet_onnxruntime()
    import onnx
    from onnxruntime import quantization as q

    class Pictures(q.CalibrationDataReader):
        def __init__(self) -> None:
            self.left = iter(pictures)

        def get_next(self) -> dict[str, np.ndarray] | None:
            picture = next(self.left, None)
            return None if picture is None else {"images": picture[None]}

    spared = [node.name for node in model.graph.node if node.op_type == "Conv" and node.input[1] in exact]
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(), redirect_stdout(None), _quiet():
        warnings.simplefilter("ignore")
        source, result = Path(folder) / "whole.onnx", Path(folder) / "int8.onnx"
        onnx.save(model, source)
        q.quantize_static(
            str(source),
            str(result),
            Pictures(),
            quant_format=q.QuantFormat.QDQ,
            per_channel=True,
            reduce_range=True,  # seven bits of weights: with eight, sums overflow on CPUs without VNNI
            activation_type=q.QuantType.QUInt8,
            weight_type=q.QuantType.QInt8,
            op_types_to_quantize=["Conv"],
            nodes_to_exclude=spared,
            calibrate_method=q.CalibrationMethod.Percentile,
            extra_options={"CalibPercentile": _PERCENTILE},
        )
        return onnx.load(result)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the advice that quantisation logs."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def _halve(model: Any) -> None:
    """Keep large weights, in place, in half precision; they are made float32 again when the model is opened."""
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and values.size >= _LARGE:
            name = tensor.name
            tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}.half"))
            casts.append(helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT))
    for cast in reversed(casts):
        model.graph.node.insert(0, cast)
