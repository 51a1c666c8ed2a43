import pytest
import torch

from phalanx.core.errors import InputError
from phalanx.data.sample import Sample, concatenate


def full_sample(batch: int, seed: int = 0) -> Sample:
    generator = torch.Generator().manual_seed(seed)

    def uniform(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator)

    rotations = torch.linalg.qr(uniform(batch, 16, 3, 3))[0]
    rotations = rotations * torch.linalg.det(rotations).sign()[..., None, None]
    K = torch.tensor([[500.0, 0.0, 4.0], [0.0, 480.0, 3.0], [0.0, 0.0, 1.0]]).repeat(batch, 1, 1)
    return Sample(
        image=uniform(batch, 3, 6, 8),
        depth=uniform(batch, 6, 8),
        mask=uniform(batch, 6, 8),
        joints=uniform(batch, 21, 3),
        joints_2d=uniform(batch, 21, 2) * 8,
        vertices=uniform(batch, 11, 3),
        rotations=rotations,
        shape=uniform(batch, 10) - 0.5,
        orientation=rotations[:, 0].clone(),
        translation=uniform(batch, 3),
        K=K,
        ids=torch.arange(batch * 3).reshape(batch, 3),
    )


def test_full_and_empty_samples_pass_the_check():
    sample = full_sample(3)
    assert sample.check() is sample
    assert len(sample) == 3
    assert len(sample.present()) == 12
    assert len(Sample().check()) == 0
    assert len(Sample(joints=torch.zeros(5, 21, 3)).check()) == 5


@pytest.mark.parametrize(
    ("name", "spoil", "message"),
    [
        ("image", lambda x: x[:, :2], r"sample\.image: shape \(B, 3, H, W\) expected, got \(2, 2, 6, 8\)"),
        ("image", lambda x: x * 255, r"\[0, 1\]"),
        ("image", lambda x: (x * 255).to(torch.uint8), "floating point"),
        ("depth", lambda x: x - 1, "negative depth"),
        ("mask", lambda x: x[:, :5], r"sample\.mask: H is 5, but 6 in sample\.image"),
        ("joints", lambda x: x[:1], r"sample\.joints: B is 1, but 2 in sample\.image"),
        ("joints", lambda x: x * float("nan"), r"sample\.joints: holds NaN"),
        ("vertices", lambda x: x[0], r"sample\.vertices: shape \(B, V, 3\) expected"),
        ("vertices", lambda x: x.tolist(), "a tensor expected, got list"),
        ("rotations", lambda x: x * 1.1, r"sample\.rotations: .* not rotations"),
        ("orientation", lambda x: -x, r"sample\.orientation: .* not rotations"),
        ("K", lambda x: x * x.new_tensor([1.0, 0.0, 1.0]), r"sample\.K: is singular"),
        ("ids", lambda x: x.float(), "int64"),
    ],
)
def test_check_names_the_field_and_the_fault(name, spoil, message):
    sample = full_sample(2)
    setattr(sample, name, spoil(getattr(sample, name)))
    with pytest.raises(InputError, match=message):
        sample.check()


def test_cameras_of_turned_crops_pass_the_check():
    sample = full_sample(2)
    quarter = torch.tensor([[0.0, -1.0, 7.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    sample.K = quarter @ sample.K
    assert sample.check() is sample


@pytest.mark.parametrize(
    ("index", "kept"),
    [(1, [1]), (-1, [3]), (slice(1, 3), [1, 2]), ([3, 0], [3, 0]), (torch.tensor([True, False, False, True]), [0, 3])],
)
def test_indexing_chooses_hands_in_every_field(index, kept):
    sample = full_sample(4)
    chosen = sample[index].check()
    for name, value in sample.present().items():
        assert torch.equal(getattr(chosen, name), value[kept]), name


def test_indexing_beyond_the_end_is_an_error():
    with pytest.raises(IndexError):
        full_sample(2)[2]


def test_concatenate_undoes_indexing():
    sample = full_sample(5)
    joined = concatenate([sample[:2], sample[2], sample[3:]])
    assert joined.present().keys() == sample.present().keys()
    assert all(torch.equal(value, joined.present()[name]) for name, value in sample.present().items())


def test_concatenate_refuses_to_drop_labels():
    first, second = full_sample(1), full_sample(1)
    second.depth = None
    with pytest.raises(InputError, match=r"\['depth'\] are not in all samples"):
        concatenate([first, second])
    with pytest.raises(InputError, match="no samples"):
        concatenate([])


def test_to_moves_every_field_and_leaves_the_original():
    sample = full_sample(2)
    moved = sample.to("meta")
    assert all(value.device.type == "meta" for value in moved.present().values())
    assert sample.image is not None and sample.image.device.type == "cpu"
