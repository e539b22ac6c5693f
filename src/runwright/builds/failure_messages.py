"""Why an installation failed, in a sentence or two, from what the tool printed last."""

import re
from typing import Final

_LINES: Final = 12
_CHARACTERS: Final = 1200
_NO_SPACE: Final = re.compile(r"No space left on device|ENOSPC|\(os error 28\)|File too large|EFBIG")
_NOISE: Final = re.compile(
    r"^(?:Using CPython|DEBUG|warning: `VIRTUAL_ENV|npm (?:http|notice|info|timing|verb)"
    r"|npm error A complete log|npm error\s*$|Stack backtrace|\s+\d+: <unknown>|Download "
    r"|npm error For a full report|npm error /build"
    r"|Resolved \d|Prepared \d|runwright: (?!the installer))"
)
_REFUSED: Final = re.compile(r"^runwright: (network: .* refused .*)$", re.MULTILINE)
_PREFIX: Final = re.compile(r"^npm error (?:(?:code|\d{3}|notarget|ERESOLVE) ?)?")


def reason_of(log: str, *, disk_mb: int) -> str:
    """Return the tool's last words without what says nothing."""
    if _NO_SPACE.search(log):
        return f"The installation needed more than {disk_mb} MB of disk."
    lines = [_PREFIX.sub("", line).rstrip() for line in log.splitlines() if not _NOISE.match(line)]
    lines = [line for line in lines if line.strip()]
    start = next((i for i, line in enumerate(lines) if line.startswith(("error:", "E"))), None)
    chosen = lines[start : start + _LINES] if start is not None else lines[-_LINES:]
    refusal = _REFUSED.search(log)
    text = "\n".join([*chosen, *([refusal[1]] if refusal else [])])
    return (
        text[:_CHARACTERS] + ("…" if len(text) > _CHARACTERS else "")
        or "The installer failed and said nothing."
    )
