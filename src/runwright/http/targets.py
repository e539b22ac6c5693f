"""Former names, until every dialect uses `fields`."""

from runwright.http.fields import LONGEST_SECRET, check_signing_secret, require_url

__all__ = ["LONGEST_SECRET", "check_signing_secret", "require_url"]
