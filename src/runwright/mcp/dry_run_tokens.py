"""The tokens that tie a bulk action to its dry run: a model does only what it has counted."""

import base64
import hashlib
import hmac
import time
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from runwright.client.session import Credentials

TOKEN_SECONDS: Final = 600.0
_TOO_OLD: Final = "The token is too old: make the dry run again."
_WRONG: Final = "The token is not of this dry run: give it back unchanged, with the same key."


class DryRunTokenError(Exception):
    """A token is missing, wrong or too old."""


class _Claims(msgspec.Struct, frozen=True):
    action: str
    expires: float
    selection: dict[str, Any]


class DryRunTokens:
    """Makes and checks tokens, signed with the caller's key and tenant, so that any process can do it."""

    def __init__(self, credentials: Credentials) -> None:
        caller = f"{credentials.tenant or ''}\0{credentials.api_key or ''}"
        self._key = hashlib.sha256(b"runwright mcp dry run\0" + caller.encode()).digest()

    def token(self, action: str, selection: Mapping[str, Any]) -> str:
        """Return a token for doing to a selection what a dry run has counted."""
        claims = msgspec.json.encode(_Claims(action, time.time() + TOKEN_SECONDS, dict(selection)))
        return f"{_encode(claims)}.{_encode(self._sign(claims))}"

    def selection(self, action: str, token: str) -> dict[str, Any]:
        """Return the selection of a token. Raises DryRunTokenError."""
        claims = self._verified(token)
        if claims is None or claims.action != action:
            raise DryRunTokenError(_WRONG)
        if claims.expires < time.time():
            raise DryRunTokenError(_TOO_OLD)
        return claims.selection

    def _verified(self, token: str) -> _Claims | None:
        body, _, signature = token.partition(".")
        try:
            claims, given = _decode(body), _decode(signature)
        except ValueError:
            return None
        if not hmac.compare_digest(self._sign(claims), given):
            return None
        return msgspec.json.decode(claims, type=_Claims)

    def _sign(self, claims: bytes) -> bytes:
        return hmac.digest(self._key, claims, "sha256")


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
