"""`phalanx data check`: a folder of one's own pictures."""

import numpy as np
from command_line import one_sentence
from PIL import Image


def test_a_folder_is_told_and_drawn(run, tmp_path):
    (tmp_path / "photos").mkdir()
    for number in range(2):
        Image.fromarray(np.full((40, 50, 3), 90, np.uint8)).save(tmp_path / "photos" / f"{number}.png")
    words = ["check", tmp_path / "photos", "--sheet", tmp_path / "s.png"]
    code, out, err = run(*words, verb="data")
    assert (code, err) == (0, []) and "2 hands, no file is missing" in out[1] and out[-1] == f"-> {tmp_path}/s.png"
    with Image.open(tmp_path / "s.png") as sheet:
        assert sheet.size[0] > 50
    assert run(*words, "--quiet", verb="data") == (0, [], [])
    for more, says in (
        (["--count", "0"], "--count: must be 1 or more"),
        (["--split", "a"], "phalanx data check --help"),
    ):
        code, out, err = run(*words, *more, verb="data")
        assert (code, out) == (2, [])
        one_sentence(err, says)
