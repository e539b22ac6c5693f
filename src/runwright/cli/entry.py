"""Where the program `runwright` begins; most of its first tenth of a second is imports."""

from runwright.cli.interrupts import end_at_once

end_at_once()

from runwright.cli.main import main  # noqa: E402  after the line above

__all__ = ["main"]
