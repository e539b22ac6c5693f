"""Times, durations, widths, secrets and ids, as people type and read them."""

import io
from datetime import UTC, datetime, timedelta

import pytest

from runwright.cli.deploy.model import Act, Plan, ResourceChange
from runwright.cli.deploy.rendering import render_plan
from runwright.cli.exits import UsageError, print_error
from runwright.cli.output import Column, render_table
from runwright.cli.run import read_input
from runwright.cli.secrets import read_env
from runwright.cli.terminal import argument, harmless, one_line, printable
from runwright.cli.text_width import columns_of, cut
from runwright.cli.times import bytes_text, duration_text, milliseconds, parse_duration, parse_moment

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("1h30m", 5400), ("7d", 604_800), ("500ms", 0.5), ("1.5h", 5400), ("2w", 1_209_600)],
)
def test_durations_are_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "90", "s", "1 h", "1h-", "-1h", "1y", "999999999w999999999w", "1h 30m"])
def test_what_is_no_duration_is_none(text: str) -> None:
    assert parse_duration(text) is None


def test_moments_are_times_or_durations_from_now() -> None:
    assert parse_moment("--since", "24h", NOW) == NOW - timedelta(days=1)
    assert parse_moment("--at", "+10m", NOW, ahead=True) == NOW + timedelta(minutes=10)
    assert parse_moment("--at", "2026-05-01T09:00:00+02:00", NOW) == datetime(2026, 5, 1, 7, tzinfo=UTC)
    with pytest.raises(UsageError, match="--since is no time: 'yesterday'"):
        parse_moment("--since", "yesterday", NOW)


def test_durations_and_sizes_are_shown_in_their_largest_units() -> None:
    assert [duration_text(seconds) for seconds in (0, 59, 130, 11_100, 172_799, 172_800)] == [
        "0s", "59s", "2m10s", "3h05m", "47h59m", "2d",
    ]  # fmt: skip
    assert [milliseconds(value) for value in (None, 340, 1800, 130_000)] == ["", "340 ms", "1.8 s", "2m10s"]
    assert [bytes_text(value) for value in (0, 340, 1200, 123_456, 52_428_800)] == [
        "0 B", "340 B", "1.2 kB", "123 kB", "52.4 MB",
    ]  # fmt: skip


def test_what_could_control_a_terminal_is_removed() -> None:
    assert printable("a\x1b[31mred\x1b[0m\x1b]0;title\x07b\x9bc\rd\x08e\tf\ng") == "aredbcde\tf\ng"
    assert printable("\u202eevil\u2066") == "evil"
    assert one_line("a\n b\x1b[2J\tc") == "a b c"


def test_wide_letters_take_two_columns() -> None:
    assert (columns_of("abc"), columns_of("日本"), columns_of("e\u0301")) == (3, 4, 1)
    assert (cut("日本語", 5), cut("abcdef", 4), cut("abc", 3)) == ("日本…", "abc…", "abc")


def test_a_table_fits_its_width_by_its_flexible_columns() -> None:
    columns: tuple[Column[tuple[str, str]], ...] = (
        Column("ID", lambda row: row[0]),
        Column("ERROR", lambda row: row[1], flexible=True),
    )
    rows = [("job_1", "x" * 100), ("job_2", "")]
    assert render_table(rows, columns, cut_to=20).split("\n") == [
        "ID     ERROR", "job_1  " + "x" * 12 + "…", "job_2  -",
    ]  # fmt: skip
    assert "x" * 100 in render_table(rows, columns, cut_to=None)


def test_env_files_are_read_as_shells_do() -> None:
    text = (
        "# comment\n\nA=1\nexport B = two words # comment\nC='it # stays $A'\n"
        'D="line\\none \\"quoted\\" \\$5"\nE="first\nsecond"\nF=\nG=a#b\n'
    )
    assert dict(read_env(text)) == {
        "A": "1",
        "B": "two words",
        "C": "it # stays $A",
        "D": 'line\none "quoted" $5',
        "E": "first\nsecond",
        "F": "",
        "G": "a#b",
    }


@pytest.mark.parametrize(("text", "line"), [("A=1\nhunter2\n", 2), ('A="open\nB=1\n', 1), ("1A=x", 1)])
def test_a_wrong_line_of_an_env_file_is_named_without_its_text(text: str, line: int) -> None:
    with pytest.raises(UsageError, match=rf"ine {line}\b") as caught:
        read_env(text)
    assert "hunter2" not in caught.value.message


def test_input_is_json_where_it_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO('{"b": 2}'))
    assert read_input(["a=1", "-", "c=text", 'd={"x": [1]}', "e="]) == {
        "a": 1, "b": 2, "c": "text", "d": {"x": [1]}, "e": "",
    }  # fmt: skip


@pytest.mark.parametrize("given", ["novalue", "=x", "@/no/such/file"])
def test_input_that_is_none_is_refused(given: str) -> None:
    with pytest.raises(UsageError, match="-i "):
        read_input([given])


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("rows=1e999", r"rows is inf: JSON has no such number"),
        ('rows={"a": [0, -1e999]}', r"rows\.a\[1\] is -inf"),
        ("name=\udcff", "name is no valid text"),
        (f"name={'[' * 100_000}", "name is nested too deeply"),
        ("-", "no JSON: it holds NaN"),
    ],
)
def test_input_that_json_cannot_carry_is_named(
    monkeypatch: pytest.MonkeyPatch, given: str, problem: str
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO('{"b": NaN}'))
    with pytest.raises(UsageError, match=problem):
        read_input(["fine=1", given])
    assert read_input(["text=NaN", "more=Infinity"]) == {"text": "NaN", "more": "Infinity"}


def test_what_a_file_does_not_manage_is_listed_in_a_few_lines_and_as_a_whole_on_request() -> None:
    others = [ResourceChange(kind="worker", act=Act.DELETE, name=f"w{n}", about="python") for n in range(7)]
    plan = Plan(workers=[], others=[], deletions=[], unmanaged=others, warnings=[])
    few, whole = (render_plan(plan, files=files).split("\n") for files in (False, True))
    assert few[1:7] == [f"    worker w{n}  python" for n in range(5)] + [
        "    and 2 more, which --dry-run lists"
    ]
    assert whole[1:8] == [f"    worker w{n}  python" for n in range(7)]


def test_fields_are_beside_their_problems_or_all_above_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fields = {"a": ["Short."], "longer": ["A problem of some length."]}
    for columns, shown in (
        (None, "  a       Short.\n  longer  A problem of some length.\n"),
        (40, "  a       Short.\n  longer  A problem of some length.\n"),
        (24, "  a\n      Short.\n  longer\n      A problem of some\n      length.\n"),
    ):
        monkeypatch.setattr("runwright.cli.exits.width_of", lambda _stream, width=columns: width)
        print_error("Wrong.", fields)
        assert capsys.readouterr().err == f"error: Wrong.\n{shown}"


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_our_colours_and_no_other_sequence() -> None:
    hostile = "\x1b[1;32m✓\x1b[0m a\x1b[8mb\x1b]0;title\x07c\x1b[2Jd\u202ee\u2028f\U000e0041g\x1b\x1b[2m[2Jh"
    assert harmless(hostile, _Terminal()) == "\x1b[1;32m✓\x1b[0m abcdefg\x1b[2m[2Jh"
    assert harmless(hostile, io.StringIO()) == hostile


@pytest.mark.parametrize(
    ("name", "word"),
    [("digest", "digest"), ("a b", "'a b'"), ("x; rm -rf ~", "'x; rm -rf ~'"), ("a\nb\x1b[2J", "'a b'")],
)
def test_a_name_in_a_command_to_copy_is_one_word(name: str, word: str) -> None:
    assert argument(name) == word
