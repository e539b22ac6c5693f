"""Former names, until the Avala dialect uses `event_catalogue`."""

from runwright.http.event_catalogue import EVENTS as FACTS
from runwright.http.event_catalogue import FAMILIES

__all__ = ["FACTS", "FAMILIES"]
