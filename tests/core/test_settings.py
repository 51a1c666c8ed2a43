from dataclasses import dataclass, field

from phalanx.core.settings import field_descriptions, nested_settings


@dataclass
class Inner:
    """A part."""

    width: int = 3
    """How wide,
    in metres."""


@dataclass
class Outer:
    """The whole."""

    inner: Inner = field(default_factory=Inner)
    """The part."""
    bare: int = 0
    name: str = "a"
    """What it is called."""

    def method(self) -> None:
        """No field."""


def test_descriptions_belong_to_their_fields():
    assert field_descriptions(Outer) == {"inner": "The part.", "name": "What it is called."}
    assert field_descriptions(Inner) == {"width": "How wide, in metres."}


def test_dataclasses_within_are_found_by_dotted_name():
    assert nested_settings(Outer) == {"": Outer, "inner": Inner}
    assert nested_settings(Outer, "x") == {"x": Outer, "x.inner": Inner}
