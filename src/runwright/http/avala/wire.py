"""What the parts of the API's shapes are made of."""

from typing import Annotated

import msgspec
from msgspec import Meta

Uid = Annotated[str, Meta(extra_json_schema={"format": "uuid"})]
Time = Annotated[str, Meta(extra_json_schema={"format": "date-time"}, examples=["2025-03-15T10:00:00.000Z"])]
JsonObject = Annotated[msgspec.Raw, Meta(extra_json_schema={"type": "object"})]
