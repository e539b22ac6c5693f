"""What guards of all dialects have in common: they say which role a route needs."""

from abc import ABC, abstractmethod
from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from runwright.core.roles import Role


class Needs(ABC):
    """The guard of a route: lets a caller pass from this role upwards."""

    def __init__(self, role: Role) -> None:
        self.role = role

    @abstractmethod
    async def __call__(self, connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
        """Recognise the caller, as the dialect has it, and keep them as the request's user."""
