"""Addresses of servers, and whether a proxy leads to them."""

import os
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from runwright.client.errors import SetupError

PROXIES: Final = ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")
"""The variables that name the proxy of plain HTTP."""

_PROXIES_OF_TLS: Final = ("https_proxy", "HTTPS_PROXY")


def check_url(url: str) -> str:
    """Return the address of a server without a slash at its end. Raises SetupError for what is none."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise SetupError(f"{url!r} is not the address of a server.") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or port == 0:
        raise SetupError(f"{url!r} is not an address such as https://runwright.example.com.")
    if parts.username is not None or parts.query or parts.fragment:
        raise SetupError("The address of a server has no user name, query or fragment.")
    return url.rstrip("/")


def is_loopback(url: str) -> bool:
    """Return whether a URL names this machine, to which no proxy leads."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def may_be_proxied(url: str, environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether the environment names a proxy, which may lead to a server."""
    return not is_loopback(url) and any(environment.get(name) for name in (*PROXIES, *_PROXIES_OF_TLS))
