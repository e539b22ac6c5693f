"""Compiled templates."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from runwright.core.template_context import TemplateContext
from runwright.gotemplate.budget import RenderLimits
from runwright.gotemplate.errors import TemplateError
from runwright.gotemplate.evaluator import evaluate
from runwright.gotemplate.nodes import Body, TextNode
from runwright.gotemplate.parser import MAIN, parse
from runwright.gotemplate.validation import validate

LONGEST: Final = 65_536
_DEFAULT: Final = RenderLimits()


class GoTemplate(msgspec.Struct, frozen=True):
    """A compiled template."""

    templates: Mapping[str, Body]

    def render(self, context: TemplateContext, limits: RenderLimits = _DEFAULT) -> tuple[str, Sequence[str]]:
        """Return the rendered text, trimmed and without NUL, and the warnings.

        Raises TemplateError if the context lacks a field of the template, or a limit is exceeded.
        """
        text, warnings = evaluate(self.templates, context, limits)
        return text.replace("\0", "\ufffd").strip(), warnings


def compile_template(text: str) -> GoTemplate:
    """Parse and validate a template. Raises TemplateError if it is malformed or can never be rendered.

    A text without double braces is rendered unchanged.
    """
    if "{{" not in text and "}}" not in text:
        return GoTemplate({MAIN: (TextNode(line=1, text=text),)})
    if len(text) > LONGEST:
        raise TemplateError(f"a template must have at most {LONGEST} characters")
    try:
        templates = parse(text)
    except TemplateError as error:
        raise TemplateError(f"parse trigger prompt template: {error.message}") from None
    validate(templates)
    return GoTemplate(templates)
