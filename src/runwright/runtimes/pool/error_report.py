"""The errors that a harness reports in ERROR frames."""

from typing import Final

import msgspec

from runwright.core.job_state import ErrorCode

_UNREADABLE: Final = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)
_REPORTABLE: Final = frozenset(
    {ErrorCode.HANDLER_ERROR, ErrorCode.LOAD_ERROR, ErrorCode.OUT_OF_MEMORY, ErrorCode.OUTPUT_TOO_LARGE}
)


class ErrorReport(msgspec.Struct, frozen=True):
    """The payload of an ERROR frame."""

    code: ErrorCode
    message: str
    stack: str | None = None

    def taint(self, *, out_of_memory: bool) -> str | None:
        """Return why the sandbox that reported this must not be reused, if it must not."""
        if out_of_memory:
            return "out of memory"
        return self.code.value if self.code in {ErrorCode.LOAD_ERROR, ErrorCode.OUT_OF_MEMORY} else None


_decode_report: Final = msgspec.json.Decoder(ErrorReport).decode


def read_report(payload: bytes) -> ErrorReport | str:
    """Return the error that an ERROR frame reports, or a description of what is wrong with the frame."""
    try:
        report = _decode_report(payload)
    except _UNREADABLE:
        return "an error that cannot be read"
    if report.code not in _REPORTABLE:
        return "an error code that is not its to give"
    return report
