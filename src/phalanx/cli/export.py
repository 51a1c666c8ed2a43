"""`phalanx export`: the networks for other runtimes."""

import argparse

from phalanx.cli.common import Parser, Verbs, add_quiet, add_verb, sayer

_ONNX = """\
Writes detector.onnx and estimator.onnx, models.json with the constants that go with them, and a README.md that says what goes in and what
comes out. examples/onnx_hands.py and onnx_hands.mjs go from a picture to joints by these files alone, in Python and in a browser.

examples:
  phalanx export onnx --out models
  phalanx export onnx --out mine --weights adapted/compact.onnx
  phalanx export onnx --out exact --precision float32      # needs phalanx[train]
"""


def add(verbs: Verbs) -> None:
    """Add the verb."""
    parser = add_verb(verbs, "export", "write the networks for other runtimes")
    kinds = parser.add_subparsers(dest="kind", metavar="KIND", required=True, parser_class=Parser)
    onnx = add_verb(kinds, "onnx", "ONNX files, with what their inputs and outputs mean", _ONNX, job)
    onnx.add_argument("--out", required=True, metavar="DIR", help="folder to write into")
    onnx.add_argument(
        "--weights", metavar="FILE", help="another estimator's ONNX file, such as one that phalanx adapt wrote"
    )
    onnx.add_argument(
        "--precision",
        choices=("float16", "float32"),
        help="make the estimator anew from safetensors, with weights of this kind (default: the file as it is, int8)",
    )
    add_quiet(onnx)


def job(args: argparse.Namespace) -> int:
    """Run it."""
    from phalanx.predict.model_export import export_models

    for path in export_models(args.out, args.weights, args.precision or "as it is"):
        sayer(args.quiet)(str(path))
    return 0
