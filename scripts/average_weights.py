"""Average the weights of runs of one method (`compact`, `hand_finder`, ...), as those that ship were made.

python scripts/average_weights.py METHOD OUT.safetensors A.safetensors B.safetensors [...]
"""

import sys

import torch

from phalanx.hand.model import HandModel
from phalanx.nets.weights import read_weights, write_weights


def main(method: str, out: str, *paths: str) -> None:
    meaning = HandModel.open_hand().checksum()
    files = [read_weights(path, method, meaning) for path in paths]
    values, first = files[0]
    for path, (others, _) in zip(paths, files, strict=True):
        if others != values:
            raise SystemExit(f"{path}: is of another network than {paths[0]}")
    mean = {
        name: torch.stack([tensors[name].float() for _, tensors in files]).mean(0).to(value.dtype)
        for name, value in first.items()
    }
    write_weights(out, mean, method, values, meaning)
    print(f"mean of {len(files)} -> {out}")


if __name__ == "__main__":
    if len(sys.argv) < 4:
        raise SystemExit(__doc__)
    main(*sys.argv[1:])
