"""Frames that are looked at twice: read once while there is room, and what is wrong with one is kept."""

from types import SimpleNamespace

import pytest
import torch

from phalanx.core.errors import InputError
from phalanx.predict.depth_search import Place
from phalanx.predict.depth_votes import KeptFrames, side_of


def test_frames_are_read_once_while_there_is_room():
    read = []

    def reader(number):
        read.append(number)
        if number == 3:
            raise InputError("3: is empty")
        return SimpleNamespace(number=number, nbytes=10)

    frames = KeptFrames(reader, room=20)
    assert [frames.look(number) is None for number in range(4)] == [False, False, False, True]
    assert [frames.take(number).number for number in (0, 1)] == [0, 1] and read == [0, 1, 2, 3]
    with pytest.raises(InputError, match="3: is empty"):
        frames.take(3)
    assert read == [0, 1, 2, 3]
    frames.take(2)  # there was no room for it
    frames.look(4), frames.look(5)  # there is again
    frames.take(5), frames.take(4), frames.take(4)
    assert read == [0, 1, 2, 3, 2, 4, 5, 4]


def test_the_surer_side_wins_and_where_there_is_no_hand_none_has_a_say():
    def place(right, left):
        return Place(torch.zeros(21, 3), "right", {"right": right, "left": left})

    assert side_of([place(0.9, 0.0), place(0.4, 0.5), place(0.4, 0.5)]) == "right"
    assert side_of([place(0.3, 0.6), place(0.2, 0.0), place(0.25, 0.0)]) == "left"
    assert side_of([]) == "right"
