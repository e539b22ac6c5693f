"""Escape texts for HTML, JavaScript, URLs and Go."""

from typing import Final
from urllib.parse import quote_plus

_HTML: Final = str.maketrans(
    {"'": "&#39;", '"': "&#34;", "&": "&amp;", "<": "&lt;", ">": "&gt;", "\0": "\ufffd"}
)
_JS: Final = {
    "\\": r"\\",
    "'": r"\'",
    '"': r"\"",
    "<": r"\u003C",
    ">": r"\u003E",
    "&": r"\u0026",
    "=": r"\u003D",
}
_GO: Final = {
    "\a": r"\a",
    "\b": r"\b",
    "\f": r"\f",
    "\n": r"\n",
    "\r": r"\r",
    "\t": r"\t",
    "\v": r"\v",
    "\\": r"\\",
}
_ASCII: Final = 0x80
_TWO_BYTES: Final = 0x10000


def html(text: str) -> str:
    """Return the text escaped for HTML."""
    return text.translate(_HTML)


def js(text: str) -> str:
    """Return the text escaped for a JavaScript literal."""
    return "".join(
        _JS.get(letter) or (letter if _is_visible(letter) else f"\\u{ord(letter):04X}") for letter in text
    )


def urlquery(text: str) -> str:
    """Return the text escaped for a query parameter."""
    return quote_plus(text, errors="replace")


def quoted(text: str, mark: str = '"') -> str:
    """Return the text as a Go literal."""
    return mark + "".join(_go(letter, mark) for letter in text) + mark


def _go(letter: str, mark: str) -> str:
    if letter == mark:
        return "\\" + mark
    if letter in _GO:
        return _GO[letter]
    if _is_visible(letter):
        return letter
    code = ord(letter)
    if code < _ASCII:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < _TWO_BYTES else f"\\U{code:08x}"


def _is_visible(letter: str) -> bool:
    return letter == " " or (letter.isprintable() and not letter.isspace())
