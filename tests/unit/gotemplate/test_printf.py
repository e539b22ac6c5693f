"""`printf` as Go's fmt does it; the expected texts are those of Go, but that numbers print as JSON's."""

import pytest

from runwright.core.template_context import Json
from runwright.gotemplate.budget import RenderBudget, RenderLimits
from runwright.gotemplate.printf import format_text


@pytest.mark.parametrize(
    ("template", "values", "text"),
    [
        ("%d|%5d|%-5d|%05d|%+d|% d|%x|%X|%#x|%o|%b|%c|%U|%q", [42] * 5 + [42, 255, 255, 255, 8, 5, 65, 8364, 65],
         "42|   42|42   |00042|+42| 42|ff|FF|0xff|10|101|A|U+20AC|'A'"),
        ("%05d|%.3d|%8.3d", [-42, 7, 7], "-0042|007|     007"),
        ("%s|%5s|%-5s|%.2s|%q|%x|% x|%X|%v|%#v", ["ab", "ab", "ab", "abc", 'a"b', "hi", "hi", "hi", "v", "v"],
         'ab|   ab|ab   |ab|"a\\"b"|6869|68 69|6869|v|"v"'),
        ("%f|%.2f|%8.2f|%e|%g|%g|%G|%g|%6.1f|%+.1f", [1.5, 1.234, 1.234, 123456.789, 1.5, 1e6, 1e-7, 1e21, -2.55, 2.0],
         "1.500000|1.23|    1.23|1.234568e+05|1.5|1e+06|1E-07|1e+21|  -2.5|+2.0"),
        ("%d %f", [3.0, 3], "3 3.000000"),
        ("%t|%v|%5t", [True, False, True], "true|false| true"),
        ("%T %T %T %T %T %T", ["", 1, 1.5, True, [], {}],
         "string int float64 bool []interface {} map[string]interface {}"),
        ("%v %s", [[1, "a"], {"k": 1}], "[1 a] map[k:%!s(int=1)]"),
        ("%q|%x|%X|% x", [["a", "b c"], ["hi", 255], {"k": "hi"}, ["hi", "yo"]],
         '["a" "b c"]|[6869 ff]|map[6B:6869]|[68 69 79 6f]'),
        ("%5v|%-4v|%05d|%6.2f", [[1, "a"], {"k": True}, [7, -7], [1.5, 2]],
         "[    1     a]|map[k   :true]|[00007 -0007]|[  1.50   2.00]"),
        ("%d|%t|%q", [["x", 1], [True, 0], [65, None]], "[%!d(string=x) 1]|[true %!t(int=0)]|['A' %!q(<nil>)]"),
        ("%v|%3v|%s|%v", [[None, [1, [2]]], [None], [[], {}], []], "[<nil> [1 [2]]]|[<nil>]|[[] map[]]|[]"),
        ("%d|%s|%t|%d|%z", ["x", 7, "x", 1.5, 1],
         "%!d(string=x)|%!s(int=7)|%!t(string=x)|%!d(float64=1.5)|%!z(int=1)"),
        ("%d %d", [1], "1 %!d(MISSING)"),
        ("%d", [1, 2, "x"], "1%!(EXTRA int=2, string=x)"),
        ("100%", [], "100%!(NOVERB)"),
        ("%%", [], "%"),
        ("%[2]d %[1]d", [1, 2], "2 1"),
        ("%[3]d", [1], "%!d(BADINDEX)"),
        ("%*d|%-*d|%.*f|%[3]*.[2]*[1]f|", [5, 1, 5, 1, 1, 2.55], None),
        ("%*d", ["x", 1], "%!(BADWIDTH)1"),
        ("%*d|", [-4, 1], "1   |"),
        ("%1000001d", [1], "%!(BADWIDTH)1"),
        ("%.1000001d", [1], "%!(BADPREC)1"),
        ("%v", [None], ""),
        ("%T", [None], "<nil>"),
        ("%c", [-1], "\ufffd"),
        ("%q", ["\x00\n\u200b\U000e0001"], r'"\x00\n\u200b\U000e0001"'),
        ("%f", [10**400], None),
    ],
)  # fmt: skip
def test_formats(template: str, values: list[Json], text: str | None) -> None:
    made = format_text(template, values, RenderBudget(RenderLimits()))
    if text is not None:
        assert made == text


def test_star_sizes() -> None:
    assert format_text("%*d|%.*f|", [5, 1, 1, 2.25], RenderBudget(RenderLimits())) == "    1|2.2|"
    assert format_text("%[3]*.[2]*[1]f", [12.0, 2, 6], RenderBudget(RenderLimits())) == " 12.00"
