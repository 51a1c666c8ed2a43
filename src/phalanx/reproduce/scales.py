"""How much of everything a table takes: recipes in YAML, those in the package by name and a user's own by path."""

from __future__ import annotations

from dataclasses import fields
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import jsonargparse

from phalanx.core.errors import InputError
from phalanx.core.files import read_head
from phalanx.train.plan import LoopConfig

Scale = TypeVar("Scale")


def scale_names(table: str) -> list[str]:
    """Names of the recipes of a table that the package has."""
    folder = resources.files("phalanx.reproduce") / "recipes"
    prefix = f"{table}_"
    names = (path.name for path in folder.iterdir())
    return sorted(name.removeprefix(prefix).removesuffix(".yaml") for name in names if name.startswith(prefix))


def read_scale(kind: type[Scale], table: str, scale: str | Path) -> Scale:
    """A scale of a table out of its recipe.

    Args:
        kind: the dataclass that it is read into; its training budgets are `LoopConfig`s.
        table: the table's name.
        scale: name of a recipe in the package, or a YAML file.

    Raises:
        InputError: there is no such recipe or file, a setting is unknown, missing or of the wrong kind, or a training's precision is
            `auto` or its budget not a number of samples: the same table must be the same on every machine.
    """
    names = scale_names(table)
    if str(scale) in names:
        where = f"{table}_{scale}.yaml"
        text = (resources.files("phalanx.reproduce") / "recipes" / where).read_text(encoding="utf-8")
    else:
        where = str(scale)
        if not Path(scale).is_file():
            raise InputError(f"scale: {where!r} is no file, nor one of {', '.join(names)}")
        read_head(Path(scale), 1)
        text = Path(scale).read_text(encoding="utf-8", errors="replace")
    found = _parsed(kind, text, where)
    for field in fields(kind):  # type: ignore[arg-type]
        value = getattr(found, field.name)
        if isinstance(value, LoopConfig) and "auto" in (value.precision, value.kernel_precision):
            raise InputError(
                f"{where}: {field.name}: precision and kernel_precision must be float32 or bfloat16 in a table"
            )
        if isinstance(value, LoopConfig) and value.samples is None:
            raise InputError(f"{where}: {field.name}: a table's trainings need a budget in samples")
    return found


def _parsed(kind: type[Scale], text: str, where: str) -> Scale:
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(kind, nested_key=None)
    try:
        values = parser.parse_string(text)
        # jsonargparse renamed the method; the old name warns in new releases and the new one is missing in old.
        made: Any = parser.instantiate(values) if hasattr(parser, "instantiate") else parser.instantiate_classes(values)
        return kind(**{field.name: made[field.name] for field in fields(kind)})  # type: ignore[arg-type]
    except Exception as error:  # of several kinds, by release of jsonargparse
        raise InputError(f"{where}: {' '.join(str(error).split())}") from error
