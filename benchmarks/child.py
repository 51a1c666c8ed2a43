"""A benchmark's rival in a process of its own, for it may need another environment: JSON lines to it, JSON lines back.

Both ends of the pipe are here. Imports the standard library alone, so that a worker in any environment can import it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any


class ChildError(Exception):
    """The process could not be started, or says why it cannot serve."""


class Child:
    """A worker's process, which greets with a line first; `greeting` is what it said."""

    def __init__(self, command: list[str], environment: Mapping[str, str] | None = None) -> None:
        self.name = os.path.basename(command[1])
        try:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=None if environment is None else {**os.environ, **environment},
            )
        except OSError as error:
            raise ChildError(f"{command[0]} cannot be started: {error.strerror}") from error
        self.greeting = self.answer()
        if "error" in self.greeting:
            self.close()
            raise ChildError(f"{command[0]}: {self.greeting['error']}")

    def send(self, request: dict[str, Any], content: bytes = b"") -> None:
        """Send a request, and bytes that belong to it."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(request).encode() + b"\n" + content)
        self.process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """Wait for the next line."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended with {self.process.wait()}; run it by hand to see why")
        return json.loads(line)

    def ask(self, request: dict[str, Any], content: bytes = b"") -> dict[str, Any]:
        """Send a request and wait for its answer."""
        self.send(request, content)
        return self.answer()

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:  # torch can take long to go on a busy machine
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


class Answers:
    """The worker's end: call it with what to answer. From now on, what libraries print goes to standard error."""

    def __init__(self) -> None:
        self.pipe = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)

    def __call__(self, value: dict[str, Any]) -> None:
        self.pipe.write(json.dumps(value) + "\n")
        self.pipe.flush()


def requests() -> Iterator[dict[str, Any]]:
    """The worker's requests, until the other end hangs up."""
    return map(json.loads, iter(sys.stdin.buffer.readline, b""))
