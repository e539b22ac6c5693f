"""The small tree of errors that features raise and dialects translate at their edge.

`code` is stable; each dialect maps it to its own status and shape in one table.
Messages are written for the person who made the request and never hold secrets.
"""

from typing import ClassVar


class RunwrightError(Exception):
    """Base of every error that a caller may be told about."""

    code: ClassVar[str] = "internal"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class MalformedError(RunwrightError):
    """The request could not be read at all (broken JSON, wrong content type)."""

    code = "malformed"


class InvalidError(RunwrightError):
    """The request was read but breaks rules; `fields` names every bad field at once."""

    code = "invalid"

    def __init__(self, fields: dict[str, list[str]], message: str = "The request is invalid.") -> None:
        super().__init__(message)
        self.fields = fields


class UnauthenticatedError(RunwrightError):
    """No key, a wrong key or a revoked one."""

    code = "unauthenticated"


class ForbiddenError(RunwrightError):
    """The role or the tenant does not permit this."""

    code = "forbidden"


class TenantSuspendedError(RunwrightError):
    """The operator has suspended the tenant."""

    code = "tenant_suspended"


class RateLimitedError(RunwrightError):
    """The tenant makes more requests than it may; `retry_after` seconds later one may pass."""

    code = "rate_limited"

    def __init__(self, message: str, *, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class QuotaError(RunwrightError):
    """The tenant has as much of something as it may: `current` of `limit`."""

    code = "quota"

    def __init__(self, quota: str, limit: int, current: int) -> None:
        super().__init__(f"The tenant's quota {quota} is {limit}, and it has {current}.")
        self.quota = quota
        self.limit = limit
        self.current = current


class NotFoundError(RunwrightError):
    """The thing does not exist, or belongs to another tenant."""

    code = "not_found"


class ConflictError(RunwrightError):
    """The state of the thing forbids this."""

    code = "conflict"


class TooLargeError(RunwrightError):
    """The request is over a size limit."""

    code = "too_large"


class UnavailableError(RunwrightError):
    """The store or the executors are out of reach; the same request may succeed later."""

    code = "unavailable"
