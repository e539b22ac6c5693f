"""What can be wrong with a manifest."""


class ManifestError(Exception):
    """A bundle's manifest cannot be used; the message is a sentence for whoever deployed it."""


class Refused(Exception):  # noqa: N818  a verdict on one entry, on its way to become a ManifestError
    """Why, without the final stop that a sentence has."""

    def __str__(self) -> str:
        return f"{self.args[0]}."
