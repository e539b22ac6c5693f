"""The address of a database as people have it: a URL or libpq's keywords, with the options of libpq.

asyncpg takes every option that it does not know for a setting of the session, which the server then refuses.
Here each option of libpq has a meaning, and any other is one clear error.

- Passed on: host, port, user, password, database, the `ssl…` options, `target_session_attrs` and so on.
- Replaced by limits of our own, which are shorter: `connect_timeout`, `keepalives…`, `tcp_user_timeout`.
- `channel_binding=require` proves that the server is no other; asyncpg lacks it, so the certificate has to
  prove it: the mode becomes `verify-full`, by the system's authorities unless `sslrootcert` names others.
- `sslrootcert=system`: the system's authorities, and `verify-full`.
- `pgbouncer=true`, which is not libpq's: a pooler in transaction mode is behind it. It is noticed without
  that, unless the pooler is configured to ignore startup parameters.
"""

import re
import ssl
from collections.abc import Mapping
from typing import Final
from urllib.parse import SplitResult, parse_qsl, quote, urlencode, urlsplit

import msgspec

from runwright.core.errors import RunwrightError

_SCHEMES: Final = {"postgresql", "postgres"}
_PASSED_ON: Final = {
    "host",
    "port",
    "user",
    "password",
    "passfile",
    "dbname",
    "database",
    "service",
    "options",
    "target_session_attrs",
    "krbsrvname",
    "gsslib",
    "sslmode",
    "sslcert",
    "sslkey",
    "sslpassword",
    "sslrootcert",
    "sslcrl",
    "ssl_min_protocol_version",
    "ssl_max_protocol_version",
    "sslnegotiation",
}
_OF_NO_EFFECT: Final = {
    "connect_timeout",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
    "application_name",
    "fallback_application_name",
    "load_balance_hosts",
    "sslcompression",
    "sslsni",
    "gssdelegation",
}
_HARMLESS: Final = {
    "gssencmode": {"disable", "prefer"},
    "channel_binding": {"disable", "prefer", "require"},
    "client_encoding": {"auto", "utf8", "utf-8", "unicode"},
    "sslcertmode": {"disable", "allow"},
}
"""Options with the values that change nothing here; others are not supported."""

_KEYWORD: Final = re.compile(
    r"\s*([a-z_]+)\s*=\s*(?:'((?:[^'\\]|\\.)*)'|((?:[^\s'\\]|\\.)*))(?=\s|$)", re.DOTALL
)
_YES: Final = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


class DsnError(RunwrightError):
    """The address of the database is invalid; the message names the option, and no value."""

    code = "database_url"


class DatabaseAddress(msgspec.Struct, frozen=True):
    """The address in the form that asyncpg understands."""

    dsn: str
    tls: ssl.SSLContext | None = None
    """How the server is verified, where asyncpg cannot do that."""
    pooled: bool = False
    """Whether a pooler in transaction mode is known to be behind it."""


def read_dsn(text: str) -> DatabaseAddress:
    """Return the address that a URL or keywords describe. Raises DsnError."""
    parts, options = _split(text)
    pooled = _is_pooled(options.pop("pgbouncer", "false"))
    _refuse_unsupported(options)
    if options.pop("channel_binding", None) == "require":
        options["sslmode"] = "verify-full"
        options.setdefault("sslrootcert", "system")
    kept = {name: value for name, value in options.items() if name in _PASSED_ON and value}
    tls = _take_tls(kept) if kept.get("sslrootcert") == "system" else None
    query = urlencode(kept, quote_via=quote)
    dsn = f"{parts.scheme}://{parts.netloc}{parts.path}{'?' if query else ''}{query}"
    return DatabaseAddress(dsn, tls, pooled)


def _split(text: str) -> tuple[SplitResult, dict[str, str]]:
    """Return the URL without its options, and the options; keywords are the options of an empty URL."""
    try:
        parts = urlsplit(text)
        query = parse_qsl(parts.query, keep_blank_values=True)
    except ValueError:
        raise DsnError("database_url is no valid URL.") from None
    if parts.scheme in _SCHEMES:
        return parts, dict(query)
    if "://" in text:
        raise DsnError(
            "database_url has to begin with postgresql://, or to be keywords such as host=db user=u."
        )
    return SplitResult("postgresql", "", "", "", ""), _read_keywords(text)


def _read_keywords(text: str) -> dict[str, str]:
    options: dict[str, str] = {}
    position = 0
    while text[position:].strip():
        match = _KEYWORD.match(text, position)
        if match is None:
            raise DsnError("database_url is neither a URL nor keywords such as host=db user=u dbname=d.")
        quoted, plain = match[2], match[3]
        options[match[1]] = re.sub(r"\\(.)", r"\1", plain if quoted is None else quoted, flags=re.DOTALL)
        position = match.end()
    return options


def _is_pooled(value: str) -> bool:
    try:
        return _YES[value.lower()]
    except KeyError:
        raise DsnError("database_url: pgbouncer is true or false.") from None


def _refuse_unsupported(options: Mapping[str, str]) -> None:
    for name, value in options.items():
        if name in _HARMLESS:
            if value.lower() not in _HARMLESS[name]:
                raise DsnError(f"database_url: {name}={value[:20]} is not supported.")
        elif name not in _PASSED_ON | _OF_NO_EFFECT:
            raise DsnError(f"database_url: there is no option {name[:40]!r}, or it is not supported.")


def _take_tls(options: dict[str, str]) -> ssl.SSLContext:
    """Return a context that verifies by the system's authorities; the options that it replaces are taken."""
    if options.pop("sslmode", "verify-full") != "verify-full":
        raise DsnError("database_url: sslrootcert=system needs sslmode=verify-full.")
    del options["sslrootcert"]
    context = ssl.create_default_context()
    certificate, key = options.pop("sslcert", None), options.pop("sslkey", None)
    password = options.pop("sslpassword", None)
    if certificate is not None:
        try:
            context.load_cert_chain(certificate, key, password)
        except (OSError, ssl.SSLError) as error:
            raise DsnError(f"database_url: sslcert or sslkey cannot be read: {error}") from None
    return context
