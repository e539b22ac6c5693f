"""A child of `runwright serve` with several processes; started by the supervisor only.

Arguments: its name (for `ps`), the descriptor of its socket to the supervisor, the supervisor's process id.
"""

import gc
import sys

import uvloop

from runwright.cli.exits import ExitCode, report
from runwright.cli.library_errors import report_other
from runwright.cli.serve import prepare_process
from runwright.core.errors import RunwrightError
from runwright.supervisor.member import end_with_parent, join_group
from runwright.wiring import serve


def main() -> int:
    """Run a child until it has drained; return its exit status."""
    gc.disable()  # until it serves, as for any command
    _name, descriptor, parent = sys.argv[1:]
    end_with_parent(int(parent))
    prepare_process()
    try:
        return uvloop.run(_serve(int(descriptor)))
    except RunwrightError as error:
        return report(error)
    except Exception as error:
        code = report_other(error)
        if code is None:
            raise
        return code or ExitCode.FAILED


async def _serve(descriptor: int) -> int:
    settings, member = await join_group(descriptor)
    return await serve(settings, member)


if __name__ == "__main__":
    sys.exit(main())
