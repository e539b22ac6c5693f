"""The response to a webhook delivery."""

from typing import Annotated

import msgspec
from msgspec import Meta

from runwright.http.agh.runs.schemas import RunOut


class DeliveryResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The result of a webhook delivery."""

    matched: Annotated[int, Meta(description="The number of matching triggers: 0 or 1.")]
    runs: list[RunOut] = []


class DeliveryEnvelope(msgspec.Struct, frozen=True):
    """The result of a webhook delivery."""

    result: DeliveryResult
