"""Errors of templates."""


class TemplateError(ValueError):
    """The template is malformed or cannot be rendered with the given data; the message is for its author."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message
