"""What an operator decides about automations; a file that is read again may change it while we run."""

from runwright.automations.model import FireLimit


class Policy:
    """The operator's decisions, as they are now."""

    def __init__(
        self,
        *,
        enabled: bool = True,
        zone: str = "UTC",
        at_once: int = 5,
        default_limit: FireLimit | None = None,
    ) -> None:
        """`zone`: of cron expressions that name none; `at_once`: runs of a tenant that are under way."""
        self.enabled = enabled
        self.zone = zone
        self.at_once = at_once
        self.default_limit = default_limit or FireLimit()

    def become(self, other: "Policy") -> None:
        """Take over what another one says."""
        self.enabled = other.enabled
        self.zone = other.zone
        self.at_once = other.at_once
        self.default_limit = other.default_limit
