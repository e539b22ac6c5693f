"""What AGH's contract says about prompt templates, and our rules for numbers and what is missing."""

import pytest

from runwright.core.template_context import Json, TemplateContext
from runwright.gotemplate import TemplateError, compile_template

DATA: dict[str, Json] = {
    "repo": {"name": "runwright", "stars": 1_000_000, "ratio": 1.5, "private": False, "owner": None},
    "commits": [{"id": "c1"}, {"id": "c2"}],
    "files": ["a.py", "b.py", "c.py"],
    "big": 12_345_678_901_234_567_890,
    "huge": 1e21,
    "tiny": 1e-7,
    "payload": "<raw> & 'text'",
    "empty": "",
}
ACTIVATION = TemplateContext(
    kind="webhook", scope="workspace", workspace_id="ws1", source="webhook", data=DATA
)


def rendered(text: str) -> str:
    return compile_template(text).render(ACTIVATION)[0]


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("plain", "plain"),
        ("  trimmed \n", "trimmed"),
        ("braces alone }}", "braces alone }}"),
        ("{ {.Kind} }", "{ {.Kind} }"),
        ("{{.Kind}}/{{.Scope}}/{{.WorkspaceID}}/{{.Source}}", "webhook/workspace/ws1/webhook"),
        ("{{ .Data.repo.name }}", "runwright"),
        ('{{index .Data "repo" "name"}}', "runwright"),
        ('{{(index .Data "repo").name}}', "runwright"),
        ("{{(.Data).repo.name}}", "runwright"),
        ("{{with .Data}}{{.repo.name}} {{index . `payload`}}{{end}}", "runwright <raw> & 'text'"),
        ("{{range $k, $v := .Data.repo}}{{$k}}={{$v}} {{end}}",
         "name=runwright owner= private=false ratio=1.5 stars=1000000"),
        ("{{range .Data.files}}[{{.}}]{{end}}", "[a.py][b.py][c.py]"),
        ("{{range $i, $f := .Data.files}}{{if $i}}, {{end}}{{$f}}{{end}}", "a.py, b.py, c.py"),
        ("{{range $f := .Data.files}}{{$f}} {{end}}", "a.py b.py c.py"),
        ("{{range .Data.empty_list}}{{end}}", None),
        ("{{range index .Data `none`}}x{{else}}nothing{{end}}", "nothing"),
        ("{{range .Data.files}}{{if eq . `b.py`}}{{continue}}{{end}}{{.}}{{end}}", "a.pyc.py"),
        ("{{range .Data.files}}{{if eq . `b.py`}}{{break}}{{end}}{{.}}{{end}}", "a.py"),
        ("{{range $i := 3}}{{$i}}{{end}}", "012"),
        ('{{define "head"}}<{{.Kind}}>{{end}}{{template "head" .}}', "<webhook>"),
        ('{{block "foot" .}}({{.Source}}){{end}}', "(webhook)"),
        ("{{if .Data.empty}}full{{else if .Data.repo.private}}private{{else}}neither{{end}}", "neither"),
        ("{{with .Data.empty}}a{{else with .Kind}}{{.}}{{end}}", "webhook"),
        ("{{$n := 1}}{{if true}}{{$n = 2}}{{$m := 3}}{{end}}{{$n}}", "2"),
        ("{{$n := 1}}{{range .Data.files}}{{$n := 5}}{{end}}{{$n}}", "1"),
        ("a {{- /* comment */ -}} b", "ab"),
        ("a  {{- .Kind -}}  b", "awebhookb"),
        ("{{.Data.files}}", "[a.py b.py c.py]"),
        ("{{.Data.repo}}", "map[name:runwright owner:<nil> private:false ratio:1.5 stars:1000000]"),
        ("{{.Data.repo.stars}} {{.Data.repo.ratio}} {{.Data.big}} {{.Data.huge}} {{.Data.tiny}}",
         "1000000 1.5 12345678901234567890 1e+21 1e-7"),
        ("{{0x1F}} {{0b11}} {{0o17}} {{017}} {{1_000}} {{1e3}} {{'a'}} {{-2}} {{.5}}",
         "31 3 15 15 1000 1000 97 -2 0.5"),
        ('{{"a\\n\\t\\"\\\\\\u00e9\\x41\\101"}}|', 'a\n\t"\\éAA|'),
        ("{{true}} {{false}}", "true false"),
        ("{{and 1 0 2}} {{and 1 2}} {{or 0 `` 3}} {{or 0 ``}}|", "0 2 3 |"),
        ("{{or .Kind .Data.missing}} {{and false .Data.missing}}", "webhook false"),
        ("{{not 0}} {{len .Data.files}} {{len `é`}} {{len .Data.repo}}", "true 3 2 5"),
        ("{{eq .Kind `x` `webhook`}} {{ne 1 2}} {{lt 1 2}} {{le 2 2}} {{gt `b` `a`}} {{ge 1 2}}",
         "true true true true true false"),
        ("{{eq .Data.repo.stars 1000000}} {{gt .Data.repo.ratio 1}}", "true true"),
        ("{{slice .Data.files 1}} {{slice .Data.files 1 2}} {{slice `abcd` 1 3}}", "[b.py c.py] [b.py] bc"),
        ("{{print 1 2 `x` 3}}|{{println 1 `x`}}|", "1 2x3|1 x\n|"),
        ("{{.Data.payload | html}}", "&lt;raw&gt; &amp; &#39;text&#39;"),
        ("{{.Data.payload | js}}", r"\u003Craw\u003E \u0026 \'text\'"),
        ("{{.Data.payload | urlquery}}", "%3Craw%3E+%26+%27text%27"),
        ("{{`x` | printf `%s-%s` `y` | len}}", "3"),
        ('{{index .Data "commits" 1 "id"}}', "c2"),
        ("{{print}}|", "|"),
    ],
)  # fmt: skip
def test_a_template_prints(template: str, text: str | None) -> None:
    if text is None:
        with pytest.raises(TemplateError):
            rendered(template)
    else:
        assert rendered(template) == text


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("{{.EnvelopeID}}", "EnvelopeID"),
        ("{{.Scope.Name}}", "of a text"),
        ("{{(.Source).Value}}", "of a text"),
        ('{{index .Kind "x"}}', "only supported on .Data"),
        ('{{index . "x"}}', "only supported on .Data"),
        ('{{$x := .Data}}{{index $x "y"}}', "only supported on .Data"),
        ("{{$x := .Data}}{{$x.y}}", "variables"),
        ("{{($).Data}}", "what .Data is a field of"),
        ("{{$.Data}}", "variables"),
        ('{{define "x"}}{{end}}{{template "x" .Data}}', "root dot"),
        ('{{define "x"}}{{end}}{{template "x"}}', "root dot"),
        ('{{define "x"}}{{end}}{{with .Data}}{{template "x" .}}{{end}}', "root dot"),
        ('{{define "x"}}{{.Nope}}{{end}}', "Nope"),
        ("{{range .Data.commits}}{{.id}}{{end}}", "what .id is a field of"),
        ("{{with .Kind}}{{.x}}{{end}}", "of a text"),
        ('{{template "none" .}}', "not defined"),
        ("{{if .Nope}}{{end}}", "Nope"),
        ("{{if true}}{{else}}{{.Nope}}{{end}}", "Nope"),
        ("{{print (len .Nope)}}", "Nope"),
        ("{{.Kind | printf .Nope}}", "argument|Nope"),
    ],
)
def test_what_can_never_be_filled_in_is_refused_when_it_is_written(template: str, says: str) -> None:
    with pytest.raises(TemplateError, match=says):
        compile_template(template)


@pytest.mark.parametrize(
    "template",
    [
        "{{", "{{.Kind", "{{}}", "{{end}}", "{{if .Kind}}", "{{if}}{{end}}", "{{else}}", "{{unknown}}",
        "{{range .Data}}{{else}}{{else}}{{end}}", "{{break}}", "{{continue}}", "{{nil}}", "{{$x}}", "{{$x = 1}}",
        "{{if true}}{{$x := 1}}{{end}}{{$x}}", "{{1 2}}", "{{.Kind | 1}}", "{{.Kind .Scope}}", "{{.Data | .Kind}}",
        '{{"open}}', "{{`open}}", "{{'ab'}}", "{{''}}", '{{"\\z"}}', '{{"\\ud800"}}', '{{"\\400"}}', "{{1.2.3}}",
        "{{0x}}", "{{1__0}}", "{{09}}", "{{1e999}}", "{{99999999999999999999}}", "{{(1}}", "{{1)}}", "{{()}}",
        '{{"a""b"}}', "{{.Kind|}}", "{{|.Kind}}", "{{/* open }}", "{{/* a */ b}}", "{{-.Kind}}", "{{.Kind-}}",
        '{{define "x"}}', '{{define "x"}}{{end}}{{define "x"}}{{end}}', "{{define x}}{{end}}",
        '{{if true}}{{define "x"}}{{end}}{{end}}', "{{template .Kind .}}", "{{template}}", "{{$a, $b := .Data}}",
        "{{range $a, $b, $c := .Data}}{{end}}", "{{range $a $b := .Data}}{{end}}", "{{end .}}", "{{..}}", "{{.Kind!}}",
        "{{len.x}}", '{{"x".y}}', "{{if true}}{{range .Data}}{{end}}{{break}}{{end}}", "{{with}}{{end}}", "{{$ := 1}}",
        '{{range .Data}}{{define "x"}}{{break}}{{end}}{{end}}', "{{/* a */", "{{a\u00e9}}", "{{\x00}}",
    ],
)  # fmt: skip
def test_what_is_no_template_is_refused(template: str) -> None:
    with pytest.raises(TemplateError, match="parse trigger prompt template"):
        compile_template(template)


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("{{.Data.missing}}", 'no entry for key "missing"'),
        ("{{with .Data}}{{.missing}}{{end}}", 'no entry for key "missing"'),
        ("{{.Data.payload.x}}", "in type string"),
        ("{{.Data.repo.owner.x}}", "nil data"),
        ("{{.Data.repo.stars.x}}", "in type int"),
        ("{{eq 1 `1`}}", "incompatible types"),
        ("{{eq true 1}}", "incompatible types"),
        ("{{eq .Data.files .Data.files}}", "non-comparable"),
        ("{{lt true false}}", "invalid type"),
        ("{{lt 1 `2`}}", "incompatible types"),
        ("{{len 1}}", "len of type int"),
        ("{{len}}", "wrong number of args"),
        ("{{not 1 2}}", "wrong number of args"),
        ("{{call .Kind}}", "non-function"),
        ("{{range .Kind}}{{end}}", "can't iterate"),
        ("{{range 1.5}}{{end}}", "can't iterate"),
        ("{{slice `abc` 2 1}}", "out of range"),
        ("{{slice `abc` 0 4}}", "out of range"),
        ("{{slice `abc` 0 1 2}}", "3-index"),
        ("{{slice `abc` `x`}}", "out of range"),
        ("{{printf 1}}", "expected string"),
        ("{{index .Data.files `x`}}", "cannot index a list"),
        ("{{index .Data 1}}", "cannot index an object"),
        ("{{index .Data.repo.stars 1}}", "can't index"),
        ("{{index .Data.files -1}}", "out of range"),
    ],
)
def test_what_cannot_be_filled_in_says_where(template: str, says: str) -> None:
    with pytest.raises(TemplateError, match=rf"prompt:2: executing at <.*{says}"):
        rendered("first line\n" + template)


def test_a_missing_index_prints_nothing_and_warns_once_per_place() -> None:
    template = compile_template(
        '[{{index .Data "no" "x"}}]{{range 3}}{{print nil}}{{end}}{{.Data.repo.owner}}'
    )
    text, warnings = template.render(ACTIVATION)
    assert text == "[]"
    assert [warning.partition(" printed as empty: ")[2] for warning in warnings] == [
        'nothing at index "no"',
        "null",
        "null",
    ]


def test_asking_whether_something_is_there_does_not_warn() -> None:
    template = compile_template('{{if index .Data "no"}}a{{else}}b{{end}}{{with index .Data "no"}}{{end}}')
    assert template.render(ACTIVATION) == ("b", [])


def test_a_zero_does_not_get_into_a_prompt() -> None:
    assert rendered('a{{"\\x00"}}b') == "a\ufffdb"
