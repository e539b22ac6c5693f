"""Masks secrets in the log lines of one job, also those that continue from line to line."""

import re
from typing import Final

from runwright.runtimes import protocol
from runwright.secrets.escape_decoding import Rest, do_not_rest
from runwright.secrets.masking import Masker, Truncation

TRUNCATED: Final = " … (line cut)"

_ENCODED_LINE: Final = re.compile(rb"(?:\A|\n)[^\n]{0,80}?[A-Za-z0-9+/_-]{40,}={0,2}[ \t\r\"',\\n]{0,8}\Z")
_LAST_LINE_BYTES: Final = 256
_KEPT_BYTES: Final = 4096


class LineMasker:
    """Masks what one job writes, one text of whole lines after the other.

    Where a text ends in a line of base64 or hex, the next one of the same level may continue it.
    """

    def __init__(self, masker: Masker) -> None:
        self._masker = masker
        self._before: dict[str, bytes] = {}

    def mask(
        self,
        level: str,
        data: bytes,
        truncation: Truncation | None = None,
        rest: Rest = do_not_rest,
        *,
        before: bytes = b"",
    ) -> bytes:
        """Return lines with every secret in them masked; lines over the limit are truncated and marked.

        `before` is what precedes the first line, and was masked and written already.
        """
        if len(before) + len(data) > protocol.LINE_BYTES:
            first, *others = data.split(b"\n")
            masked = [self._mask_long_line(line, rest) for line in others]
            data = b"\n".join([self._mask_long_line(first, rest, before), *masked])
        before = self._before.pop(level, b"") + before
        encoded = _ENCODED_LINE.search(data, max(0, len(data) - _LAST_LINE_BYTES)) is not None
        if encoded:
            self._before[level] = (before + data)[-_KEPT_BYTES:] + b"\n"
        return self._masker.mask(data, truncation, before=before, continues=encoded, rest=rest)

    def _mask_long_line(self, line: bytes, rest: Rest, before: bytes = b"") -> bytes:
        room = max(0, protocol.LINE_BYTES - len(before))
        if len(line) <= room:
            return line
        # Beyond the limit a line may have gaps, in which no secret can be found.
        mark = TRUNCATED.encode()
        masked = self._masker.mask(line[:room], Truncation.AT_LIMIT, before=before, rest=rest)
        return masked[: protocol.LINE_BYTES - len(mark)] + mark
