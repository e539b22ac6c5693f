"""The operator's settings of automations; reloading the configuration file changes them at run time."""

import msgspec

from runwright.automations.model import DEFAULT_FIRE_LIMIT, FireLimit


class AutomationSettings(msgspec.Struct, kw_only=True):
    """The settings that apply now."""

    enabled: bool = True
    zone: str = "UTC"
    """The time zone of cron expressions that name none."""
    concurrency: int = 5
    """The number of runs of a tenant that may be in progress at once."""
    default_limit: FireLimit = DEFAULT_FIRE_LIMIT

    def update(self, other: "AutomationSettings") -> None:
        """Take over the settings of another value."""
        for name in self.__struct_fields__:
            setattr(self, name, getattr(other, name))
