"""The environment variables that clients read, and the address that they call where none is named."""

from typing import Final

DEFAULT_URL: Final = "http://127.0.0.1:8080"

URL: Final = "RUNWRIGHT_URL"
KEYS: Final = ("RUNWRIGHT_API_KEY", "RUNWRIGHT_KEY")
"""The first one that is set is used."""

PROFILE: Final = "RUNWRIGHT_PROFILE"
TENANT: Final = "RUNWRIGHT_TENANT"
DATA_DIR: Final = "RUNWRIGHT_DATA_DIR"
WEBHOOK_SECRET: Final = "RUNWRIGHT_WEBHOOK_SECRET"  # noqa: S105  a name, not a secret
COMPLETION_SECONDS: Final = "RUNWRIGHT_COMPLETION_SECONDS"

CLIENT_ONLY: Final = frozenset({URL, *KEYS, PROFILE, TENANT, WEBHOOK_SECRET, COMPLETION_SECONDS})
"""Those that are no settings of a server."""
