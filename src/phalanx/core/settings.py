"""What a dataclass of settings says of itself in its source, for help texts."""

import ast
import inspect
import textwrap
from dataclasses import is_dataclass
from itertools import pairwise
from typing import get_type_hints


def nested_settings(config: type, prefix: str = "") -> dict[str, type]:
    """A dataclass and those that its fields hold, by dotted name: `{"": TrainConfig, "loop": LoopConfig, ...}`."""
    found: dict[str, type] = {prefix: config}
    for name, kind in get_type_hints(config).items():
        if is_dataclass(kind) and isinstance(kind, type):
            found |= nested_settings(kind, f"{prefix}.{name}" if prefix else name)
    return found


def field_descriptions(config: type) -> dict[str, str]:
    """The string that follows each field of a dataclass in its source, by the field's name."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(config))).body
    assert isinstance(definition, ast.ClassDef)
    found = {}
    for field, after in pairwise(definition.body):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(after, ast.Expr):
            if isinstance(after.value, ast.Constant) and isinstance(after.value.value, str):
                found[field.target.id] = " ".join(after.value.value.split())
    return found
