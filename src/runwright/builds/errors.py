"""What can go wrong with an installation."""


class ManifestError(Exception):
    """A bundle's manifest cannot be used; the message is a sentence for the person who deployed it."""


class RefusedEntry(Exception):  # noqa: N818  about one entry, on its way to become a ManifestError
    """Why an entry of a manifest is refused, without the final stop."""

    def __str__(self) -> str:
        return f"{self.args[0]}."


class InstallError(Exception):
    """The installation failed and would fail again; the message is the reason for the tenant."""


class BuildSandboxError(Exception):
    """The host could not run the installation now; another try may succeed."""


class RegistryError(Exception):
    """A registry cannot be used; the message is for the operator and the tenant."""
