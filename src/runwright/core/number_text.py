"""Numbers as text.

Whole numbers keep all their digits, however many: an id beyond 2**53 prints and compares as it was sent.
"""

import re
from decimal import Decimal
from typing import Final

_PLAIN_BELOW: Final = 1e21
_PLAIN_FROM: Final = 1e-6
_EXPONENT: Final = re.compile(r"e([+-])0*(\d+)$")


def plain_decimal(number: float) -> str:
    """Return the number without an exponent and without zeros behind: `7`, `1.5`, `1000000`."""
    if isinstance(number, int):
        return str(number)
    text = format(Decimal(repr(number)), "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def json_number(number: float) -> str:
    """Return the number as JSON encoders print it: plain, with an exponent where it is very big or small."""
    if isinstance(number, int) or number == 0 or _PLAIN_FROM <= abs(number) < _PLAIN_BELOW:
        return plain_decimal(number)
    return _EXPONENT.sub(r"e\1\2", format(Decimal(repr(number)).normalize(), "e").replace("E", "e"))
