"""Formats settings for display, and as the commented default file.

`config.default.toml` beside this package documents the configuration. It is the output of
`default_file`, which a test verifies.
"""

import textwrap
from typing import get_args

import msgspec
from msgspec import Meta

from runwright.config.setting_types import Heading
from runwright.config.settings import FIELDS, SECRET_SETTINGS, Settings


def shown_value(settings: Settings, name: str) -> str:
    """Return a setting's value for display; secrets are hidden."""
    value = getattr(settings, name)
    if value is None:
        return "(not set)"
    if name in SECRET_SETTINGS:
        return "(hidden)"
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def default_file() -> str:
    """Return a commented file with all defaults; settings without a fixed default are commented out."""
    lines = ["# All settings of Runwright with their defaults. Copy those that you change.", ""]
    for name, field in FIELDS.items():
        lines += [f"## {one.text}\n" for one in _annotations(name) if isinstance(one, Heading)]
        lines += textwrap.wrap(
            describe(name), 100, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False
        )
        if field.default in (None, msgspec.NODEFAULT):
            lines += [f"# {name} = ...", ""]
        else:
            lines += [f"{name} = {_toml(field.default)}", ""]
    return "\n".join(lines)


def describe(name: str) -> str:
    """Return the description of a setting."""
    metas = [one for one in _annotations(name) if isinstance(one, Meta)]
    return next((meta.description for meta in reversed(metas) if meta.description is not None), name)


def _annotations(name: str) -> tuple[object, ...]:
    """Return the annotations of a setting's type."""
    annotations: tuple[object, ...] = get_args(FIELDS[name].type)[1:]
    return annotations


def _toml(value: object) -> str:
    return msgspec.json.encode(value).decode()
