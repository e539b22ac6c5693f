"""For tests that have little to do with bundles: a reader of the smallest."""

import tempfile
from pathlib import Path

from runwright.db.pool import Pool
from runwright.workers.bundles.members import ArchiveLimits
from runwright.workers.bundles.reader import BundleReader


def no_bundles(db: Pool) -> BundleReader:
    return BundleReader(
        db, limits=ArchiveLimits(unpacked_bytes=1000, files=1), spool_dir=Path(tempfile.gettempdir())
    )
