import json

import numpy as np
import pytest

from phalanx.core.errors import InputError
from phalanx.data.json_lists import entry_ends, read_entries, read_entry, read_surface, read_with_lines

HANDS = np.random.default_rng(0).normal(size=(4, 5, 3)) * 0.05


@pytest.mark.parametrize("indent", [None, 1])
def test_entries_one_by_one_are_those_of_the_whole_list(tmp_path, indent):
    path = tmp_path / "list.json"
    path.write_text(json.dumps(HANDS.tolist(), indent=indent))
    np.testing.assert_array_equal(read_entries(path, (5, 3)), HANDS)
    ends = entry_ends(path)
    np.testing.assert_array_equal([read_entry(path, ends, index, (5, 3)) for index in range(4)], HANDS)
    np.testing.assert_array_equal(read_surface(path, ends, 2, 5), HANDS[2])


def test_faults_are_named_with_their_entry(tmp_path):
    path = tmp_path / "list.json"
    path.write_text(json.dumps((1000 * HANDS).tolist()))
    ends = entry_ends(path)
    with pytest.raises(InputError, match=r"list\.json: entry 1: is \d+\.?\d* across; is that in metres\?"):
        read_surface(path, ends, 1, 5)
    with pytest.raises(InputError, match=r"list\.json: entry 3: must have shape \(6, 3\), has \(5, 3\)"):
        read_surface(path, ends, 3, 6)
    text = path.read_bytes()
    path.write_bytes(text[: ends[1] + 5] + b"x" + text[ends[1] + 6 :])
    with pytest.raises(InputError, match=r"list\.json: entry 2: is not JSON"):
        read_entry(path, ends, 2, (5, 3))
    for content, message in (
        (text[:-1], "is cut short or not a JSON list"),
        (b"[]", "is cut short or not"),
        (b"", "is empty"),
    ):
        path.write_bytes(content)
        with pytest.raises(InputError, match=message):
            entry_ends(path)


@pytest.mark.parametrize("indent", [None, 1])
def test_entries_of_outermost_lists_have_lines(tmp_path, indent):
    path = tmp_path / "a.json"
    content = {"about": {"lists": [1]}, "first": [[1, 2], {"a": ["\n"]}], "empty": [], "second": ["x"], "number": 3}
    path.write_text("\n" + json.dumps(content, indent=indent))
    read, lines = read_with_lines(path)
    assert read == content and set(lines) == {"first", "empty", "second"}
    text = path.read_text().splitlines()
    if indent:
        assert text[lines["first"][0] - 1].strip() == "[" and text[lines["first"][1] - 1].strip() == "{"
        assert text[lines["second"][0] - 1].strip() == '"x"'
    else:
        assert lines == {"first": [2, 2], "empty": [], "second": [2]}
    path.write_text("[1,\n\n2]\n")
    assert read_with_lines(path) == ([1, 2], {"": [1, 3]})


@pytest.mark.parametrize(
    ("text", "line"), [('{"a": [1,\n2', 2), ("[1,\n2]\n3", 3), ('{"a" 1}', 1), ("[1 2]", 1), ("{", 1)]
)
def test_a_cut_text_is_named_with_its_line(tmp_path, text, line):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(InputError, match=rf"a\.json: line {line}: is cut short or not JSON"):
        read_with_lines(tmp_path / "a.json")
