"""One clear line on standard error about what is left out or done otherwise than one would expect."""

from __future__ import annotations

import sys

_QUIET = False  # whether another process of this run says the same
_said: set[str] = set()


def note(sentence: str) -> None:
    """Print a sentence, once in a run: no second time, and not from processes that `leave_notes_to_others` has silenced."""
    if not _QUIET and sentence not in _said:
        _said.add(sentence)
        print(f"phalanx: {sentence}", file=sys.stderr, flush=True)


def leave_notes_to_others() -> None:
    """This process does the same work as another one, which prints the notes."""
    global _QUIET
    _QUIET = True
