"""Figures before and after, and what is said of them."""

import numpy as np
import pytest

from phalanx.adapt.weak_pictures import WeakHands, WeakPictures
from phalanx.adapt.weak_report import drawn_term, said, terms, verdict


def figures(judged, learnt, synthetic):
    return {"judged_2d_px_of_256": judged, "learnt_2d_px_of_256": learnt, "synthetic_2d_px_of_256": synthetic}


@pytest.mark.parametrize(
    ("after", "hands", "held_back", "says"),
    [
        (
            figures(5, 5, 8),
            100,
            12,
            ["lowered: on 12 hands that were not learnt from, labelled joints are 10.0 256ths"],
        ),
        (figures(5, 5, 8), 10, 0, ["lowered: on the hands learnt from, too few", "10 hands are few"]),
        (figures(9.9, 5, 8), 100, 12, ["not lowered: on 12", "why: those held back show something else"]),
        (figures(9.9, 9.9, 8), 100, 12, ["not lowered: on 12", "why: give more --minutes"]),
        (
            figures(5, 5, 10),
            100,
            12,
            ["lowered: on 12", "on synthetic hands joints are 8.0 256ths off before and 10.0 after"],
        ),
    ],
)
def test_verdicts(after, hands, held_back, says):
    lowered, lines = verdict(figures(10, 10, 8), after, hands, held_back)
    assert lowered == (after["judged_2d_px_of_256"] < 9) and len(lines) == len(says)
    assert all(line.startswith(text) for line, text in zip(lines, says, strict=True))


def pictures(**counts):
    every = {
        "pictures": 9, "pictures with joints": 5, "pictures with nothing": 3, "pictures with depth and no joints": 1, "hands": 5,
        "left hands": 2, "hands with depth": 0, "hands with 3D joints": 0,
    }  # fmt: skip
    return WeakPictures(None, every | counts, {}, [{"input": "a", "problem": "b"}], {})


def test_what_was_read_is_said():
    lines = said(pictures())
    assert lines[0].startswith(
        "9 pictures, 5 of them with joints, 3 with nothing; 5 hands, 2 of them left ones; 1 inputs passed over"
    )
    assert len(lines) == 2 and "1 pictures have depth and no joints" in lines[1]
    many = pictures(
        **{
            "hands whose side was guessed": 5,
            "hands of an unsure side": 1,
            "hands with depth": 3,
            "hands with 3D joints": 2,
        }
    )
    many.left_out["no depth of the hand was read at the middle knuckle"] = 2
    many.sources["focal"] = "camera"
    lines = said(many)
    assert "the side of 5 hands was guessed, of 1 unsurely" in lines[2]
    assert lines[3] == (
        "depth is compared of 3 hands, focal length by camera; not of others: no depth of the hand was read at the middle knuckle (2)"
    )
    assert lines[4] == "3D joints are learnt of 2 hands"


def test_terms_that_are_left_out_say_why():
    plain = terms(pictures(), False, 10.0, 24, 24)
    assert plain["depth regularizer"] == "left out: no hand has depth that can be compared"
    assert plain["3D joints"] == "left out: no hand has any" and plain["synthesis"] == "24 hands a step beside 24"
    assert terms(pictures(), False, 0.0, 0, 24)["depth regularizer"] == "left out: its weight is 0"
    full = terms(pictures(**{"hands with depth": 4, "hands with 3D joints": 3}), True, 10.0, 0, 24)
    assert (full["2D joints"], full["depth regularizer"], full["3D joints"]) == ("5 hands", "4 hands", "3 hands")
    assert full["synthesis"] == "left out: 0 hands a step"


def test_why_depth_was_not_drawn():
    def learnt(*root_depths):
        rows = len(root_depths)
        return WeakHands(*(np.zeros((rows, 1)) for _ in range(4)), np.array(root_depths), np.zeros(rows), [""] * rows)

    assert (
        drawn_term(learnt(0.5, 0, 0), True, 7) == "2 hands without depth, judged against 7 depth frames of other hands"
    )
    assert drawn_term(learnt(0.5, 0), False, None) == "left out: there is no unpaired depth"
    assert drawn_term(learnt(0.5, 0.4), True, None) == "left out: every hand has its own"
    assert drawn_term(learnt(0.0), True, None) == "left out: its weight is 0"
