"""What goes wrong with a template."""


class TemplateError(ValueError):
    """The template is malformed, or cannot be filled in with this; the message is for its author."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message
