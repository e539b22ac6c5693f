"""By which names this server may be called, as protection against DNS rebinding.

A foreign web page can reach a server of its visitor's network only by a host name of its own that resolves to
it. So what a browser could be made to call accepts only IP addresses, localhost, and hosts that the operator
allows.
"""

import re
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from runwright.http.services import EdgeSettings

_PORT: Final = re.compile(r":\d{1,5}\Z", re.ASCII)


def is_own_host(host: str, edge: EdgeSettings) -> bool:
    """Return whether a host, with or without its port, is a name of this server."""
    name = _PORT.sub("", host)
    if name == "localhost" or _is_allowed(host, edge):
        return True
    try:
        ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True


def is_own_origin(origin: str, host: str, edge: EdgeSettings) -> bool:
    """Return whether an origin is this server, called by `host`, or one that the operator allows."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    same = parts.netloc == host and is_own_host(host, edge)
    return parts.scheme in {"http", "https"} and (same or _is_allowed(parts.netloc, edge))


def _is_allowed(host: str, edge: EdgeSettings) -> bool:
    """Return whether the operator allows this host, with or without its port."""
    allowed = {name.lower() for name in edge.allowed_hosts}
    if edge.public_url:
        allowed.add(urlsplit(edge.public_url).netloc.lower())
    return bool({"*", host.lower(), _PORT.sub("", host.lower())} & allowed)
