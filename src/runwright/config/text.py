"""Settings as people read them.

`config.default.toml` beside this package is the documentation of the configuration: it is what
`default_file` writes, and a test holds the two together.
"""

import textwrap
from typing import get_args

import msgspec
from msgspec import Meta

from runwright.config.settings import FIELDS, SECRET_SETTINGS, Heading, Settings


def shown_value(settings: Settings, name: str) -> str:
    """Return a setting's value for people to see; of a secret only whether it is set."""
    value = getattr(settings, name)
    if value is None:
        return "(not set)"
    if name in SECRET_SETTINGS:
        return "(hidden)"
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def default_file() -> str:
    """Return the commented file with all defaults; a setting without a fixed one is commented out."""
    lines = ["# Every setting of Runwright with its default. Copy what you change.", ""]
    for name, field in FIELDS.items():
        lines += [f"## {note.text}\n" for note in _notes(name) if isinstance(note, Heading)]
        lines += textwrap.wrap(
            describe(name), 100, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False
        )
        if field.default in (None, msgspec.NODEFAULT):
            lines += [f"# {name} = ...", ""]
        else:
            lines += [f"{name} = {_toml(field.default)}", ""]
    return "\n".join(lines)


def describe(name: str) -> str:
    """Return what a setting means, in a sentence."""
    metas = [note for note in _notes(name) if isinstance(note, Meta)]
    return next((meta.description for meta in reversed(metas) if meta.description is not None), name)


def _notes(name: str) -> tuple[object, ...]:
    """Return what stands at a setting beside its type."""
    notes: tuple[object, ...] = get_args(FIELDS[name].type)[1:]
    return notes


def _toml(value: object) -> str:
    return msgspec.json.encode(value).decode()
