"""Numbers as text.

Integers keep all their digits: an id above 2**53 is printed and compared without loss.
"""

import re
from decimal import Decimal
from typing import Final

_PLAIN_BELOW: Final = 1e21
_PLAIN_FROM: Final = 1e-6
_EXPONENT: Final = re.compile(r"e([+-])0*(\d+)$")


def plain_decimal(number: float) -> str:
    """Return the number without an exponent and trailing zeros: `7`, `1.5`, `1000000`."""
    if isinstance(number, int):
        return str(number)
    text = format(Decimal(repr(number)), "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def json_number(number: float) -> str:
    """Return the number as JSON encoders print it: with an exponent only if it is very large or small."""
    if isinstance(number, int) or number == 0 or _PLAIN_FROM <= abs(number) < _PLAIN_BELOW:
        return plain_decimal(number)
    return _EXPONENT.sub(r"e\1\2", format(Decimal(repr(number)).normalize(), "e"))
