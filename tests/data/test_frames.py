import pytest
import torch

from phalanx.core.errors import InputError
from phalanx.data.frames import Frames, concatenate


def frames(batch: int = 2, hands: int = 3) -> Frames:
    present = torch.zeros(batch, hands, dtype=torch.bool)
    present[:, 0] = True
    boxes = torch.zeros(batch, hands, 4)
    boxes[:, 0] = torch.tensor([2.0, 3.0, 10.0, 8.0])
    masks = torch.zeros(batch, 32, 48, dtype=torch.int16)
    masks[:, 3:11, 2:12] = 1
    return Frames(
        torch.rand(batch, 3, 32, 48),
        torch.tensor([[40.0, 0.0, 23.5], [0.0, 40.0, 15.5], [0.0, 0.0, 1.0]]).repeat(batch, 1, 1),
        present,
        torch.zeros(batch, hands, dtype=torch.uint8),
        boxes,
        torch.full((batch, hands), 0.5),
        torch.zeros(batch, hands, 21, 3),
        torch.zeros(batch, hands, 21, 2),
        torch.zeros(batch, hands, 3, 3),
        masks,
        torch.ones(batch, 32, 48),
    )


def test_checks_indexes_and_joins():
    made = frames().check()
    assert len(made[1]) == len(made[-1]) == 1
    joined = concatenate([made, made[:1]]).check()
    assert len(joined) == 3
    torch.testing.assert_close(joined.image[2], made.image[0])
    with pytest.raises(IndexError, match="frame 2 of 2"):
        made[2]


@pytest.mark.parametrize(
    ("field", "change", "fault"),
    [
        ("boxes", lambda value: value[:, :2], "N is 2, but 3"),
        ("boxes", lambda value: value + torch.tensor([40.0, 0, 0, 0]), "inside the frame"),
        ("masks", lambda value: value * 9, "0..3"),
        ("side", lambda value: value + 2, "0 .right. or 1"),
        ("present", lambda value: value.flip(1), "must come last"),
        ("image", lambda value: value + 1, "must lie in"),
        ("depth", lambda value: value.int(), "floating point"),
        ("masks", lambda value: value.long(), "int16 expected"),
    ],
)
def test_names_the_field_at_fault(field, change, fault):
    made = frames()
    setattr(made, field, change(getattr(made, field)))
    with pytest.raises(InputError, match=f"frames.*{fault}"):
        made.check()


def test_different_fields_are_not_joined():
    other = frames()
    other.sensed_depth = torch.ones(2, 32, 48)
    with pytest.raises(InputError, match="sensed_depth"):
        concatenate([frames(), other])
    with pytest.raises(InputError, match="no frames"):
        concatenate([])
