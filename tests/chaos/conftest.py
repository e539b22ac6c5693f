"""A folder that PostgreSQL's user can reach."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="runwright-chaos-", dir="/tmp"))
    made.chmod(0o711)
    yield made
    shutil.rmtree(made)
