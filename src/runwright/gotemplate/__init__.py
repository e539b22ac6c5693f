"""Prompt templates: Go's `text/template` over an activation.

`compile_template` parses and checks once, `Template.render` fills in. The whole language is here
but for complex numbers and what no activation can hold (methods, functions as values, channels).
Where we part from Go, on purpose: there is one kind of number, which compares by value and prints
as JSON would print it; what `index` does not find, and null, print as nothing and are told as a
warning.

A template and the data that it is given are both hostile. Nesting is bounded when it is parsed;
rendering has a budget of steps, to which every loop, every call and every copied character counts,
and a bound on its output that also holds for each text on the way. Whatever is over a bound is a
TemplateError.

`tokens` cuts the source up, `parser` and `pipelines` make the `nodes`, `checks` refuses what can
never be filled in, `evaluator` fills in, with the `functions` of the language.
"""

from runwright.gotemplate.budget import Limits
from runwright.gotemplate.errors import TemplateError
from runwright.gotemplate.template import Template, compile_template

__all__ = ["Limits", "Template", "TemplateError", "compile_template"]
