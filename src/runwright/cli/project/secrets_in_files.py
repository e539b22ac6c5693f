"""Finds values that look like secrets: a file in a repository is no place for them."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

_NAME: Final = re.compile(
    r"(?:^|_)(?:SECRET|TOKEN|PASSWORD|PASSWD|PASSPHRASE|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY|CREDENTIALS?)$",
    re.IGNORECASE,
)
_VALUE: Final = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY|^(?:sk|rk|pk)[-_](?:live|test|proj|ant)?[-_]?[A-Za-z0-9_-]{16,}"
    r"|^gh[pousr]_[A-Za-z0-9]{20,}|^github_pat_|^glpat-|^xox[abposr]-|^AKIA[0-9A-Z]{16}$|^rwk_|^AIza[0-9A-Za-z_-]{30,}"
    r"|^eyJ[A-Za-z0-9_-]{10,}\.eyJ|^[a-z][a-z0-9+.-]*://[^/\s:@]+:[^/\s:@]+@"
)
_SHORTEST: Final = 4
_WORD: Final = re.compile(r"[^\s\"'`<>()\[\]{},;=]+")


def secret_like(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names whose values look like secrets."""
    for name, value in config.items():
        if (
            isinstance(value, str)
            and len(value) >= _SHORTEST
            and (_NAME.search(name) or _VALUE.search(value))
        ):
            yield name


def has_secret(text: str) -> bool:
    """Return whether a word of a text looks like a key, or is an address with a password."""
    return "PRIVATE KEY-----" in text or any(_VALUE.search(word[0]) for word in _WORD.finditer(text))


def how_to_keep(name: str) -> str:
    """Return the message for a secret in a file."""
    return (
        f"Looks like a secret. Keep it on the server: runwright secrets set {name}, and list its name:"
        f' secrets = ["{name}"]. If it is none: not_secret = ["{name}"].'
    )
