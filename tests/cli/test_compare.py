"""`phalanx compare`: files in, figure and table out."""

from command_line import one_sentence


def test_text_files_and_their_ground_truth_make_a_table(run, tmp_path):
    lines = (" ".join(["100 200 700"] * 14) + "\n") * 3
    for name in ("true.txt", "mine.txt"):
        (tmp_path / name).write_text(lines)
    words = [tmp_path / "mine.txt", "--ground-truth", tmp_path / "true.txt", "--out", tmp_path / "figures"]
    code, out, err = run(*words, verb="compare")
    assert (code, err) == (0, []) and out == [f"1 methods -> {tmp_path}/figures/comparison.md, .csv, .tex, .png"]
    assert "| mine | 3 (part) | 0.00 |" in (tmp_path / "figures" / "comparison.md").read_text()
    assert run(*words, "--quiet", verb="compare") == (0, [], [])
    code, out, err = run(tmp_path / "mine.txt", verb="compare")
    assert (code, out) == (2, [])
    one_sentence(err, "mine.txt: is no JSON of scores")
