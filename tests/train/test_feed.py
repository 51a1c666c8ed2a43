import pytest
import torch

from phalanx.data.sample import Sample
from phalanx.train.augment import augment
from phalanx.train.feed import BufferFeed, MixedFeed, finish_pictures, pack, resize, unpack


def chunk(index: int, count: int = 5) -> Sample:
    random = torch.Generator().manual_seed(index)
    image = (torch.randint(0, 256, (count, 3, 64, 64), generator=random)).float() / 255
    joints = torch.tensor([0.0, 0.0, 0.5]) + 0.05 * torch.randn(count, 21, 3, generator=random)
    K = torch.tensor([[90.0, 0, 30], [0, 80, 33], [0, 0, 1]]).expand(count, 3, 3).contiguous()
    pixels = joints @ K.mT
    ids = torch.tensor([[0, index, i] for i in range(count)])
    # the shape says which picture it is
    return Sample(
        image=image,
        mask=image[:, 0],
        joints=joints,
        joints_2d=pixels[..., :2] / pixels[..., 2:],
        K=K,
        shape=ids[:, 1:2].float() * 100 + ids[:, 2:].float() + torch.zeros(count, 10),
        ids=ids,
    )


def endless(start: int):
    while True:
        yield chunk(start)
        start += 1


def names(sample: Sample) -> list[int]:
    assert sample.shape is not None
    return [int(value) for value in sample.shape[:, 0]]


def test_every_picture_of_a_buffer_comes_once_a_turn():
    feed = BufferFeed(endless, 2, 0, pack, finish_pictures)
    first = [name for _ in range(2) for name in names(feed.next(5, 64, 2))]
    second = [name for _ in range(2) for name in names(feed.next(5, 64, 2))]
    third = [name for _ in range(2) for name in names(feed.next(5, 64, 2))]
    assert sorted(first) == sorted(second) == [0, 1, 2, 3, 4, 100, 101, 102, 103, 104]
    assert sorted(third) == [200, 201, 202, 203, 204, 300, 301, 302, 303, 304]
    assert first != second


def test_a_picture_used_again_looks_different_but_keeps_its_labels():
    feed = BufferFeed(endless, 1, 0, pack, finish_pictures)
    first, again = feed.next(5, 64, 2), feed.next(5, 64, 2)
    order = [names(again).index(name) for name in names(first)]
    assert first.image is not None and again.image is not None
    assert float((first.image - again.image[order]).abs().mean()) > 1e-3
    assert torch.equal(first.joints, again.joints[order])


def test_restored_feed_goes_on_with_the_same_bytes():
    feed = BufferFeed(endless, 2, 4, pack, finish_pictures)
    for _ in range(5):
        feed.next(4, 32, 2)
    state = feed.state()
    expected = [feed.next(4, 64, 1) for _ in range(4)]
    other = BufferFeed(endless, 2, 4, pack, finish_pictures)
    other.restore(state)
    for sample in expected:
        again = other.next(4, 64, 1)
        for name, value in sample.present().items():
            assert torch.equal(value, again.present()[name]), name


def test_too_large_a_batch_is_refused():
    with pytest.raises(ValueError, match="a batch of 11 out of a buffer of 10"):
        BufferFeed(endless, 2, 0, pack, finish_pictures).next(11, 64, 1)


def test_packing_keeps_what_training_needs():
    sample = chunk(3)
    again = unpack(pack(sample))
    torch.testing.assert_close(again.image, sample.image)
    torch.testing.assert_close(again.mask, sample.mask)
    assert torch.equal(again.joints_2d, sample.joints_2d)
    assert again.ids is None


def test_resized_cameras_see_the_joints_at_the_resized_pixels():
    small = resize(chunk(1), 32)
    pixels = small.joints @ small.K.mT
    torch.testing.assert_close(pixels[..., :2] / pixels[..., 2:], small.joints_2d, atol=1e-4, rtol=1e-5)
    assert small.image.shape == (5, 3, 32, 32) and small.mask.shape == (5, 32, 32)
    # the middle of the top-left 2x2 block is the centre of the new top-left pixel
    torch.testing.assert_close(small.image[:, :, 0, 0], chunk(1).image[:, :, :2, :2].mean(dim=(2, 3)))
    marked = chunk(1)
    marked.joints_2d = torch.full((5, 21, 2), 0.5)
    torch.testing.assert_close(resize(marked, 32).joints_2d, torch.zeros(5, 21, 2))


def test_augmentation_depends_on_its_generator_only_and_stays_in_range():
    images = torch.rand(16, 3, 32, 32)
    kept = images.clone()
    first = augment(images, torch.Generator().manual_seed(1))
    again = augment(images, torch.Generator().manual_seed(1))
    other = augment(images, torch.Generator().manual_seed(2))
    assert torch.equal(images, kept)
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert float(first.min()) >= 0 and float(first.max()) <= 1
    # pictures stay recognisable: most keep most of their variation
    flat, changed = images.flatten(1), first.flatten(1)
    flat, changed = flat - flat.mean(1, keepdim=True), changed - changed.mean(1, keepdim=True)
    alike = (flat * changed).sum(1) / (flat.norm(dim=1) * changed.norm(dim=1))
    assert float(alike.median()) > 0.8


def test_kinds_are_mixed_in_fixed_numbers_and_go_on_where_they_stood():
    def mixed():
        feeds = {
            kind: BufferFeed(endless, 2, seed, pack, finish_pictures) for kind, seed in (("labelled", 4), ("weak", 5))
        }
        return MixedFeed(feeds, {"labelled": 3, "weak": 1})

    feed = mixed()
    first = feed.next(4, 32, 2)
    assert (len(first.get("labelled")), len(first.get("weak"))) == (3, 1)
    state = feed.state()
    expected = [feed.next(4, 32, 2) for _ in range(4)]
    other = mixed()
    other.restore(state)
    for batch in expected:
        again = other.next(4, 32, 2)
        for kind, part in batch.parts.items():
            assert torch.equal(part.image, again.get(kind).image), kind
    with pytest.raises(ValueError, match="a batch of 5 is not one of"):
        feed.next(5, 32, 2)
    with pytest.raises(ValueError, match="feeds of .*counts of"):
        MixedFeed({"labelled": feed}, {"weak": 1})
    feed.close()
