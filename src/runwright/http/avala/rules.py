"""Rules that several forms share."""

from collections.abc import Iterable

from runwright.deliveries.client.target import OutgoingPolicy
from runwright.http.checks import Problem, Rule
from runwright.http.targets import require_url


def https_url(field: str, policy: OutgoingPolicy) -> Rule:
    """Return the rule that something may be sent to the URL in a field."""
    check = require_url(policy)

    def checked(url: str) -> Iterable[Problem]:
        secure = url[:8].lower() == "https://"
        for where, message in check(url):
            yield where, message if secure else f"{field} must use HTTPS."

    return checked
