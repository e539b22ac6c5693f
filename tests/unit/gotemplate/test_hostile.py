"""Hostile templates and data end in time, and no input breaks out of TemplateError."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runwright.core.template_context import Json, TemplateContext
from runwright.gotemplate import RenderLimits, TemplateError, compile_template
from runwright.gotemplate.evaluator import LONGEST


def deep(levels: int) -> Json:
    value: Json = "x"
    for _ in range(levels):
        value = {"k": [value]}
    return value


DATA: dict[str, Json] = {
    "text": "é<&" * 300_000,
    "list": list(range(100_000)),
    "map": {str(key): key for key in range(50_000)},
    "deep": deep(400),
}
ACTIVATION = TemplateContext(kind="k", scope="global", source="s", data=DATA)


def outcome(template: str, limits: RenderLimits | None = None) -> str:
    try:
        return compile_template(template).render(ACTIVATION, limits or RenderLimits())[0]
    except TemplateError as error:
        return "!" + error.message


@pytest.mark.parametrize(
    "template",
    [
        "{{range 18446744073709551615}}{{end}}",
        "{{range 1000000}}{{range 1000000}}{{end}}{{end}}",
        "{{range 1000000}}text{{end}}",
        '{{$x := "aaaa"}}{{range 100}}{{$x = print $x $x}}{{end}}',
        '{{define "a"}}{{template "a" .}}{{end}}{{template "a" .}}',
        '{{define "a"}}{{template "b" .}}{{end}}{{define "b"}}{{template "a" .}}{{end}}{{template "a" .}}',
        '{{range 100000}}{{printf "%500000d" 1}}{{end}}',
        '{{printf "' + "%[1]99999d" * 5_000 + '" 1}}',
        "{{range $k, $v := .Data}}{{range 10000}}{{html $v}}{{end}}{{end}}",
        "{{range $k, $v := .Data}}{{range 10000}}{{js $v}}{{urlquery $v}}{{end}}{{end}}",
        "{{with $s := .Data.text}}{{range 10000}}{{if eq $s $s}}{{end}}{{end}}{{end}}",
        "{{with $s := .Data.text}}{{range 10000}}{{$l := len $s}}{{end}}{{end}}",
        "{{with $s := .Data.text}}{{range 10000}}{{$l := slice $s 1}}{{end}}{{end}}",
        "{{with $s := .Data.text}}{{range 10000}}{{$l := printf $s}}{{end}}{{end}}",
        '{{with $s := .Data.text}}{{range 10000}}{{$l := printf "%q%x" $s $s}}{{end}}{{end}}',
        "{{with $s := .Data.map}}{{range 10000}}{{range $s}}{{break}}{{end}}{{end}}{{end}}",
        "{{with $s := .Data.map}}{{range 10000}}{{$l := print $s}}{{end}}{{end}}",
        "{{index .Data.text 1}}" * 2_900,
        "{{.Data}}" * 7_000,
        "{{$a := 1}}" * 4_000 + "{{range 100000}}{{$a}}{{end}}",
        "{{.Data.deep}}",
        "{{range 1000000}}{{if eq 1 1 1 1 1 1 1 1 1 1 1 1 1 1}}{{end}}{{end}}",
    ],
)
def test_a_hostile_template_ends_in_time_with_an_error(template: str) -> None:
    assert outcome(template).startswith("!")


@pytest.mark.parametrize(
    "piece",
    [
        "{{", "{{/*", "{{ ", '{{"', "{{`", "{{'\\", "{{1", "{{1e+", "{{.a", "{{$a", "{{(", "{{(1)", "{{1|", "{{if 1}}",
        "{{if 1}}{{else if 1}}", '{{define "x"}}', '{{block "x" .}}', "{{range .Data}}", "{{-  ", "  -}}", "\n{{.Kind}}",
        "{{print 1}}", "{{$x := 1}}", "{{(((", "{{.Kind | print | print", "}}{{", "\\", '{{"\\"',
    ],
)  # fmt: skip
def test_a_hostile_source_is_parsed_in_time(piece: str) -> None:
    outcome((piece * LONGEST)[:LONGEST])


def test_a_template_has_a_longest_length() -> None:
    assert "at most 65536 characters" in outcome("{{.Kind}}" + "x" * LONGEST)
    assert compile_template("x" * 2 * LONGEST).render(ACTIVATION)[0] == "x" * 2 * LONGEST


def test_blocks_and_parentheses_go_64_deep_and_not_deeper() -> None:
    assert outcome("{{if 1}}" * 62 + "x" + "{{end}}" * 62) == "x"
    assert outcome("{{" + "(" * 60 + "1" + ")" * 60 + "}}") == "1"
    assert "levels deep" in outcome("{{if 1}}" * 65 + "{{end}}" * 65)
    assert "levels deep" in outcome("{{" + "(" * 65)


def test_the_limits_hold_to_the_step_and_the_character() -> None:
    assert outcome("{{range 10}}x{{end}}", RenderLimits(characters=10)) == "x" * 10
    assert "more than 9 characters" in outcome("{{range 10}}x{{end}}", RenderLimits(characters=9))
    assert "more than 20 steps" in outcome("{{range 10}}x{{end}}", RenderLimits(steps=20))


PIECES = st.sampled_from(
    [
        "{{", "}}", "{{-", " -}}", ".", "$", "$x", ":=", "=", "|", "(", ")", ",", " ", "\n", "if", "else", "end", "range",
        "with", "define", "template", "block", "break", "continue", "nil", "true", "index", "len", "printf", "print",
        "slice", "eq", "lt", "and", "or", "not", "html", "js", "urlquery", "call", ".Data", ".Kind", ".a", "1", "-1",
        "1.5", '"x"', '"%d %[2]*.*s"', "`r`", "'c'", "{{/*", "*/}}", "{{if .Data}}", "{{end}}", "{{range .Data}}",
        "{{range $k, $v := .Data}}", "{{$k}}", "{{.}}", '{{define "x"}}', '{{template "x" .}}', "é", "\x00",
    ]
)  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(PIECES, max_size=25).map("".join), st.dictionaries(st.sampled_from("abx"), JSON, max_size=3))
def test_whatever_the_template_and_the_data_it_renders_or_says_what_is_wrong(
    template: str, data: dict[str, Json]
) -> None:
    activation = TemplateContext(kind="k", scope="global", source="s", data=data)
    try:
        text, warnings = compile_template(template).render(
            activation, RenderLimits(steps=2_000, characters=5_000)
        )
    except TemplateError as error:
        assert error.message  # noqa: PT017  either outcome is good
    else:
        assert len(text) <= 5_000 or "{{" not in template
        assert len(warnings) <= 20


@given(st.text().filter(lambda text: "{{" not in text and "}}" not in text))
def test_a_text_without_braces_stands_for_itself(text: str) -> None:
    assert compile_template(text).render(ACTIVATION)[0] == text.replace("\0", "\ufffd").strip()


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(JSON)
def test_every_value_prints_and_compares_without_breaking(value: Json) -> None:
    activation = TemplateContext(kind="k", scope="global", source="s", data={"v": value})
    for template in (
        "{{.Data.v}}",
        '{{printf "%v %s %d %q %x %f" .Data.v}}',
        "{{html .Data.v}}",
        "{{not .Data.v}}",
    ):
        compile_template(template).render(activation)
    for template in ("{{eq .Data.v 1}}", "{{lt .Data.v `a`}}", "{{len .Data.v}}", "{{range .Data.v}}{{end}}"):
        try:
            compile_template(template).render(activation)
        except TemplateError as error:
            assert error.message  # noqa: PT017  either outcome is good
