"""What is left out of every upload: history, secrets and keys."""

import re
from typing import Final

NEVER_UPLOADED: Final = (
    ".git",
    ".env",
    ".env.*",
    "!.env.example",
    "*.key",
    "*.p12",
    "*.pfx",
    "*.jks",
    "*.kdbx",
    "id_rsa",
    "id_dsa",
    "id_ecdsa",
    "id_ed25519",
    ".netrc",
    ".pypirc",
    ".npmrc",
)
"""Patterns of paths, as in a `.gitignore`."""

PRIVATE_KEY: Final = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----")
