"""`runwright open`: a link that signs a browser in."""

import os
import sys
import webbrowser
from datetime import UTC, datetime
from typing import Annotated, Final

import typer

from runwright.cli.remote import Remote, writes
from runwright.cli.terminal import note
from runwright.cli.times import duration_text

_DISPLAYS: Final = ("DISPLAY", "WAYLAND_DISPLAY")
_REMOTE: Final = ("SSH_CONNECTION", "SSH_TTY")


@writes
def open(  # noqa: A001  the name of the command
    remote: Remote,
    *,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open it, or only print it.")
    ] = True,
) -> None:
    """Print a link that signs a browser in, once.

    It is for the tenant, user and role that commands act with, and works for five minutes. At a terminal of
    a desktop it is opened. The operator makes links from anywhere, other keys on the server's own machine.

    Examples:
    $ runwright open
    """
    link = remote.writer.keys.create_sign_in_link()
    assert link.url is not None  # noqa: S101  as the API documents it
    left = duration_text((link.expires_at - datetime.now(UTC)).total_seconds())
    url = link.url
    remote.output.thing({"url": url, "expires_at": link.expires_at}, lambda: url)
    if browser and remote.output.is_table and has_desktop() and webbrowser.open(url):
        note(f"opened in your browser; it works once, for {left}", "dim")
    else:
        note(f"it works once, for {left}", "dim")


def has_desktop() -> bool:
    """Return whether a person sits at this machine, with a browser that is not a terminal's."""
    if not sys.stdout.isatty() or any(os.environ.get(name) for name in _REMOTE):
        return False
    return sys.platform == "darwin" or any(os.environ.get(name) for name in _DISPLAYS)
