"""The types of settings, and what annotates a setting beside its type."""

import os
from pathlib import Path
from typing import Annotated, Final, Literal, TypeAlias, get_args

import msgspec
from msgspec import Meta

RoleName = Literal["api", "executor", "scheduler", "router", "deliverer"]
ROLE_NAMES: Final[tuple[RoleName, ...]] = get_args(RoleName)

Count: TypeAlias = Annotated[int, Meta(ge=0)]
Size: TypeAlias = Annotated[int, Meta(ge=1)]
Port: TypeAlias = Annotated[int, Meta(ge=1, le=65535)]
PortOrZero: TypeAlias = Annotated[int, Meta(ge=0, le=65535)]
Seconds: TypeAlias = Annotated[float, Meta(gt=0, le=31_536_000)]
SecondsOrZero: TypeAlias = Annotated[float, Meta(ge=0, le=31_536_000)]
Days: TypeAlias = Annotated[float, Meta(gt=0, le=36_500)]
DaysOrZero: TypeAlias = Annotated[float, Meta(ge=0, le=36_500)]
PublicUrl: TypeAlias = Annotated[str, Meta(pattern=r"^https?://[A-Za-z0-9.:\[\]-]+(?:/[A-Za-z0-9._~/-]*)?$")]
Origin: TypeAlias = Annotated[str, Meta(pattern=r"^https?://[A-Za-z0-9.\[\]:-]+$", max_length=255)]
KeyText: TypeAlias = Annotated[str, Meta(pattern=r"^[\x21-\x7e]{1,512}$")]


class Heading(msgspec.Struct, frozen=True):
    """The title of a section; it annotates the first setting of it."""

    text: str


def about(text: str) -> Meta:
    """Return the description of a setting, as an annotation of it."""
    return Meta(description=text)


def default_data_dir() -> Path:
    """Return the default data directory: a system directory for root, else one of the user."""
    if os.geteuid() == 0:
        return Path("/var/lib/runwright")
    shared = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(shared) / "runwright"
