"""The SDK: a typed client of a server, synchronous (`Runwright`) and asynchronous (`AsyncRunwright`).

```python
from runwright import Runwright

rw = Runwright.from_profile()
job = rw.jobs.run("digest", {"rows": 12}, wait=30)
for line in rw.jobs.logs(job.id, follow=True):
    print(line.msg)
```
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from runwright.client.errors import (
    ApiError,
    ClientError,
    InvalidValueError,
    JobUnsuccessfulError,
    SetupError,
    Unreachable,
)
from runwright.client.profiles import Profile, Profiles

if TYPE_CHECKING:
    from runwright.client.asynchronous import AsyncRunwright
    from runwright.client.blocking import Runwright

__all__ = [
    "ApiError",
    "AsyncRunwright",
    "ClientError",
    "InvalidValueError",
    "JobUnsuccessfulError",
    "Profile",
    "Profiles",
    "Runwright",
    "SetupError",
    "Unreachable",
]

_CLIENTS: Final = {
    "Runwright": "runwright.client.blocking",
    "AsyncRunwright": "runwright.client.asynchronous",
}
"""Imported when they are first used: a synchronous program needs no event loop."""


def __getattr__(name: str) -> Any:  # noqa: ANN401  of any attribute
    if name not in _CLIENTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(_CLIENTS[name]), name)
    globals()[name] = found
    return found
