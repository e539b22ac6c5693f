"""Rules for what a user gives to be told of events: a URL, and a secret that signs."""

from collections.abc import Callable, Iterable
from typing import Final

from runwright.http.checks import Problem
from runwright.outbox.client.url import OutgoingPolicy, OutgoingUrlError, parse_target

LONGEST_SECRET: Final = 256


def require_url(policy: OutgoingPolicy) -> Callable[[str], Iterable[Problem]]:
    """Return the rule that something may be sent to a URL."""

    def check(url: str) -> Iterable[Problem]:
        try:
            why = policy.refuse_target(parse_target(url))
        except OutgoingUrlError as error:
            yield "", str(error)
        else:
            if why is not None:
                yield "", f"{why[0].upper()}{why[1:]}; nothing is sent there."

    return check


def check_signing_secret(secret: str) -> Iterable[Problem]:
    """The rule for a secret that signs what is sent."""
    if not 1 <= len(secret) <= LONGEST_SECRET or not all("!" <= character <= "~" for character in secret):
        yield "", f"Must have 1 to {LONGEST_SECRET} printable ASCII characters, without spaces."
