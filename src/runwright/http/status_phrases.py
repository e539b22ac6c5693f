"""The phrases of HTTP statuses, the same with every Python: the generated clients have them, too."""

from http import HTTPStatus
from typing import Final

_RENAMED: Final = {
    413: "Content Too Large",
    414: "URI Too Long",
    416: "Range Not Satisfiable",
    422: "Unprocessable Content",
}
"""The phrases of RFC 9110; Python has them since 3.13, and older ones before."""


def status_phrase(status: int) -> str:
    """Return the phrase of a status, such as `Not Found`."""
    return _RENAMED.get(status) or HTTPStatus(status).phrase
