"""The errors that features raise and that each API dialect maps to responses.

`code` is stable; each dialect maps it to its own status and format in one table. Messages are written
for the caller and never contain secrets.
"""

from typing import ClassVar


class RunwrightError(Exception):
    """The base class of all errors whose message a caller may see."""

    code: ClassVar[str] = "internal"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class MalformedError(RunwrightError):
    """The request cannot be parsed (invalid JSON, wrong content type)."""

    code = "malformed"


class InvalidError(RunwrightError):
    """The request is invalid; `fields` lists every invalid field."""

    code = "invalid"

    def __init__(self, fields: dict[str, list[str]], message: str = "The request is invalid.") -> None:
        super().__init__(message)
        self.fields = fields


class UnauthenticatedError(RunwrightError):
    """The key is missing, unknown or revoked."""

    code = "unauthenticated"


class ForbiddenError(RunwrightError):
    """The role or the tenant does not permit this."""

    code = "forbidden"


class TenantSuspendedError(RunwrightError):
    """The operator has suspended the tenant."""

    code = "tenant_suspended"


class RateLimitedError(RunwrightError):
    """The rate limit is exceeded; another request is admitted after `retry_after` seconds."""

    code = "rate_limited"

    def __init__(self, message: str, *, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class QuotaError(RunwrightError):
    """A quota of the tenant is exhausted: it uses `current` of `limit`."""

    code = "quota"

    def __init__(self, quota: str, limit: int, current: int) -> None:
        super().__init__(f"The tenant's quota {quota} is {limit}, and it has {current}.")
        self.quota = quota
        self.limit = limit
        self.current = current


class NotFoundError(RunwrightError):
    """The resource does not exist or belongs to another tenant."""

    code = "not_found"


class ConflictError(RunwrightError):
    """The state of the resource does not permit this."""

    code = "conflict"


class NoCodeError(ConflictError):
    """The worker has no code that could run."""

    code = "no_code"


class TooLargeError(RunwrightError):
    """The request exceeds a size limit."""

    code = "too_large"


class UnavailableError(RunwrightError):
    """The database or the executors are unavailable; the same request may succeed later."""

    code = "unavailable"
