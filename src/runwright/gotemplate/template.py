"""A template, ready to be filled in."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from runwright.core.template_context import TemplateContext
from runwright.gotemplate.budget import Limits
from runwright.gotemplate.errors import TemplateError
from runwright.gotemplate.evaluator import evaluate
from runwright.gotemplate.nodes import Body, Text
from runwright.gotemplate.parser import MAIN, parse
from runwright.gotemplate.validation import check

LONGEST: Final = 65_536
_DEFAULT: Final = Limits()


class Template(msgspec.Struct, frozen=True):
    """What `compile_template` makes."""

    templates: Mapping[str, Body]

    def render(self, activation: TemplateContext, limits: Limits = _DEFAULT) -> tuple[str, Sequence[str]]:
        """Return the text, without white space around it and zeros in it, and the warnings.

        TemplateError where the activation lacks what the template names, or a limit is exceeded.
        """
        text, warnings = evaluate(self.templates, activation, limits)
        return text.replace("\0", "\ufffd").strip(), warnings


def compile_template(text: str) -> Template:
    """Parse and check; TemplateError where it is malformed or can never be filled in.

    A text without double braces is no template and stands for itself.
    """
    if "{{" not in text and "}}" not in text:
        return Template({MAIN: (Text(line=1, text=text),)})
    if len(text) > LONGEST:
        raise TemplateError(f"a template must have at most {LONGEST} characters")
    try:
        templates = parse(text)
    except TemplateError as error:
        raise TemplateError(f"parse trigger prompt template: {error.message}") from None
    check(templates)
    return Template(templates)
