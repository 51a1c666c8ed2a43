"""Average the weights of runs of the default estimator, as those that ship were made.

python scripts/average_weights.py OUT.safetensors A.safetensors B.safetensors [...]
"""

import sys

import torch

from phalanx.hand.model import HandModel
from phalanx.methods.compact import METHOD, CompactEstimator, config_of, save_weights
from phalanx.nets.weights import read_weights


def main(out: str, *paths: str) -> None:
    hand = HandModel.open_hand()
    files = [read_weights(path, METHOD, hand.checksum()) for path in paths]
    values = files[0][0]
    for path, (others, _) in zip(paths, files, strict=True):
        if others != values:
            raise SystemExit(f"{path}: is of another network than {paths[0]}")
    network = CompactEstimator(config_of(values))
    mean = {
        name: torch.stack([tensors[name].float() for _, tensors in files]).mean(0).to(value.dtype)
        for name, value in network.state_dict().items()
    }
    network.load_state_dict(mean)
    save_weights(network, out, hand)
    print(f"mean of {len(files)} -> {out}")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        raise SystemExit(__doc__)
    main(*sys.argv[1:])
