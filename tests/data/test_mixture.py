import torch

from phalanx.data.mixture import Mixture
from phalanx.data.sample import Sample


def test_a_mixture_counts_slices_and_moves_every_kind():
    labelled = Sample(image=torch.rand(4, 3, 8, 8), joints=torch.rand(4, 21, 3))
    weak = Sample(image=torch.rand(6, 3, 8, 8), joints_2d=torch.rand(6, 21, 2))
    mixture = Mixture({"labelled": labelled, "weak": weak})
    assert len(mixture) == 10 and mixture.get("unlabelled") is None
    first, second = mixture[0::2], mixture[1::2]
    assert (len(first.get("labelled")), len(first.get("weak"))) == (2, 3) and len(first) + len(second) == len(mixture)
    assert torch.equal(second.get("weak").image, weak.image[1::2])
    assert mixture.to("meta").get("weak").image.is_meta and not labelled.image.is_meta
