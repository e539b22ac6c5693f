"""Prompt templates: Go's `text/template`, evaluated over the data of an event.

`compile_template` parses and validates, `GoTemplate.render` renders. The language is complete except for
complex numbers and values that event data cannot contain (methods, functions as values, channels).
Intended differences from Go: there is one type of number, which compares by value and prints as JSON would
print it; null and missing results of `index` print as nothing and add a warning.

Templates and their data are untrusted. Nesting is bounded by the parser; rendering has a budget of steps,
which counts every iteration, call and copied character, and a limit on the length of its output and of every
intermediate text. Exceeding a limit raises TemplateError.

`lexer` tokenizes the source, `parser` builds the `nodes`, `validation` rejects templates that can never be
rendered, and `evaluator` renders with the `functions` of the language.
"""

from runwright.gotemplate.budget import RenderLimits
from runwright.gotemplate.errors import TemplateError
from runwright.gotemplate.evaluator import GoTemplate, compile_template

__all__ = ["GoTemplate", "RenderLimits", "TemplateError", "compile_template"]
