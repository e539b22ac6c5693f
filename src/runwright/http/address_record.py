"""A file in the data directory with the URL of its API, for commands on this machine.

They send the platform key there and to no other port, whatever address a project or a variable names.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ADDRESS_FILE: Final = "api-url"
"""The name is also in `client/targets.py`, which stands alone."""


@contextlib.contextmanager
def recorded_address(data_dir: Path, url: str) -> Iterator[None]:
    """Have the URL in the file during the block, if there is a data directory that can be written to.

    A server with a database of its own may have none.
    """
    path = data_dir / ADDRESS_FILE
    draft = path.with_name(f"{ADDRESS_FILE}.{os.getpid()}")
    with contextlib.suppress(OSError):
        draft.write_text(f"{url}\n", encoding="utf-8")
        draft.replace(path)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink()
