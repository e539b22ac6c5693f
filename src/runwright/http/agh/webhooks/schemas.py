"""The schemas of incoming webhooks."""

from typing import Annotated, Literal

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


class ChallengeQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The question of a sender that verifies the URL before it sends, as Meta does."""

    mode: Annotated[Literal["subscribe"], Meta(description="What is asked for.")] = msgspec.field(
        name="hub.mode"
    )
    challenge: Annotated[
        str, Meta(description="What to answer with.", pattern=r"^[A-Za-z0-9._~-]{1,256}$")
    ] = msgspec.field(name="hub.challenge")
    verify_token: Annotated[
        str, Meta(description="The `webhook_id` of the trigger, or one of its secrets.")
    ] = msgspec.field(name="hub.verify_token")
