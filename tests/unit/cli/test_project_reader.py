"""A `runwright.toml`: what is right becomes values, and everything that is wrong is named with its line."""

from pathlib import Path

import pytest

from runwright.cli.exits import ExitCode, UsageError
from runwright.cli.project.model import Project
from runwright.cli.project.reader import read_project
from runwright.cli.project.target import read_target

GOOD = """\
profile = "staging"

[[worker]]
name = "digest"
path = "digest"
timeout_seconds = 60
config = { GREETING = "Hello" }
secrets = ["LLM_API_KEY"]
network = { allow = ["api.example.com"] }

[[worker.schedule]]
name = "mornings"
cron = "0 9 * * *"
timezone = "Europe/Berlin"
input = { channel = "#ops" }

[[worker]]
name = "resize"
path = "resize"
runtime = "nodejs"

[[webhook]]
url = "https://hooks.example.com/x"
events = ["ava.job.failed"]

[[automation]]
name = "triage"
agent = "digest"
event = "ava.job.failed"
prompt = "Why?"

[env.prod]
profile = "prod"
tenant = "ten_acme"

[env.prod.worker.digest]
timeout_seconds = 120
config = { LEVEL = "high" }
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, entrypoint in (("digest", "main.py"), ("resize", "index.js")):
        (tmp_path / name).mkdir()
        (tmp_path / name / entrypoint).write_text("")
    (tmp_path / "main.py").write_text("")
    (tmp_path / "circle").symlink_to("circle")
    return tmp_path


def read(folder: Path, text: str, environment: str | None = None) -> Project:
    (folder / "runwright.toml").write_text(text)
    return read_project(folder, environment)


def problems(folder: Path, text: str) -> dict[str, list[str]]:
    """Return the problems of a file by `line: key`."""
    with pytest.raises(UsageError) as caught:
        read(folder, text)
    assert caught.value.exit_code is ExitCode.USAGE
    assert "Nothing was changed" in caught.value.message
    return {key.removeprefix("runwright.toml:"): list(value) for key, value in caught.value.fields.items()}


def test_a_file_becomes_workers_schedules_webhooks_and_automations(folder: Path) -> None:
    project = read(folder, GOOD)
    digest, resize = project.workers
    assert (digest.runtime, digest.entrypoint, digest.timeout_seconds) == ("python", "main.py", 60)
    assert (resize.runtime, resize.entrypoint) == ("nodejs", "index.js")
    assert [(one.label, one.timezone, one.input) for one in digest.schedule] == [
        ("mornings", "Europe/Berlin", {"channel": "#ops"})
    ]
    assert [one.url for one in project.webhooks] == ["https://hooks.example.com/x"]
    assert [one.name for one in project.automations] == ["triage"]


def test_an_environment_changes_its_fields_and_merges_config(folder: Path) -> None:
    digest = read(folder, GOOD, "prod").workers[0]
    assert (digest.timeout_seconds, digest.config) == (120, {"GREETING": "Hello", "LEVEL": "high"})
    assert read_target(folder, "prod") == {"profile": "prod", "tenant": "ten_acme"}
    assert read_target(folder) == {"profile": "staging"}
    with pytest.raises(UsageError, match=r"has no \[env.qa\]"):
        read(folder, GOOD, "qa")


def test_a_folder_without_a_file_is_one_worker_named_as_the_folder(folder: Path) -> None:
    project = read_project(folder / "resize")
    assert [(one.name, one.runtime, one.entrypoint) for one in project.workers] == [
        ("resize", "nodejs", "index.js")
    ]
    with pytest.raises(UsageError, match=r"no runwright.toml"):
        read_project(folder.parent)


@pytest.mark.parametrize(
    ("line", "key", "message"),
    [
        ("timeout_second = 60", "worker[0].timeout_second", "Did you mean timeout_seconds?"),
        ('timeout_seconds = "60"', "worker[0].timeout_seconds", "Must be a whole number, not text."),
        ("timeout_seconds = 9999", "worker[0].timeout_seconds", "a whole number of at most 3600"),
        ('secrets = "KEY"', "worker[0].secrets", "Must be a list, not text."),
        ("secrets = [1]", "worker[0].secrets", "Must be text, not a whole number."),
        ('runtime = "pyhton"', "worker[0].runtime", "not one of the possible values: 'pyhton'"),
        ('path = "../elsewhere"', "worker[0].path", "Must be inside the folder"),
        ('path = "/etc"', "worker[0].path", "Must be inside the folder"),
        ('path = "missing"', "worker[0].path", "There is no folder missing."),
        ('entrypoint = "app.py"', "worker[0].entrypoint", "There is no file 'app.py' in the folder."),
        (f'path = "{"a" * 5000}"', "worker[0].path", "There is no folder"),
        ('path = "a\\u0000b"', "worker[0].path", "There is no folder"),
        ('path = "circle"', "worker[0].path", "There is no folder"),
        (f'entrypoint = "{"a" * 5000}.py"', "worker[0].entrypoint", "There is no file"),
        ('exclude = ["!"]', "worker[0].exclude", "Is no pattern: '!'"),
        ('api_key = "x"', "worker[0].api_key", "A secret does not belong in this file."),
        (
            'config = { API_TOKEN = "abc123def" }',
            "worker[0].config.API_TOKEN",
            "runwright secrets set API_TOKEN",
        ),
        ('config = { URL = "https://u:pw@host/" }', "worker[0].config.URL", "Looks like a secret."),
        ("config = { A = nan }", "worker[0].config.A", "Is nan: JSON has no such number."),
        ("config.A.b = [1, -inf]", "worker[0].config.A.b[1]", "Is -inf: JSON has no such number."),
        (
            "schedule = [{ cron = '* * * * *', input = { x = 1e999 } }]",
            "worker[0].schedule[0].input.x",
            "Is inf",
        ),
        ("input_schema = { maximum = +inf }", "worker[0].input_schema.maximum", "Is inf"),
        ('config.KEY = "sk-proj-abcdefghijklmnop"', "worker[0].config.KEY", "Looks like a secret."),
        (
            "schedule = [{ cron = '* * * * *', input = { token = 'abcdef' } }]",
            "worker[0].schedule[0].input.token",
            "Looks like a secret.",
        ),
        (f'description = "use ghp_{"a" * 36}"', "worker[0].description", "looks like a key or a password"),
    ],
)
def test_a_wrong_line_is_named_with_its_key_and_the_way_to_mend_it(
    folder: Path, line: str, key: str, message: str
) -> None:
    ((where, texts),) = problems(folder, f'# a comment\n[[worker]]\nname = "digest"\n{line}\n').items()
    assert where == f"4: {key}"
    assert message in " ".join(texts)


@pytest.mark.parametrize(
    "text",
    [
        '[[webhook]]\nurl = "https://u:pw@host/"\nevents = ["*"]\n',
        '[[automation]]\nprompt = "key: sk-live-abcdefghijklmnop"\nname = "a"\nagent = "b"\nevent = "x"\n',
    ],
)
def test_a_secret_is_refused_wherever_it_is(folder: Path, text: str) -> None:
    ((where, texts),) = problems(folder, text).items()
    assert where.startswith("2: ")
    assert "looks like a key or a password" in texts[0]


def test_a_wrong_name_in_another_environment_is_found_too(folder: Path) -> None:
    assert list(problems(folder, GOOD + "[env.qa.worker.digset]\nmemory = 1\n")) == [
        f"{len(GOOD.splitlines()) + 1}: env.qa.worker.digset",
        f"{len(GOOD.splitlines()) + 2}: env.qa.worker.digset.memory",
    ]


def test_several_entrypoints_without_a_file_are_named(folder: Path) -> None:
    (folder / "main.sh").write_text("")
    with pytest.raises(UsageError, match=r"several entrypoints: main\.py, main\.sh"):
        read_project(folder)


def test_all_problems_are_named_at_once_in_the_order_of_their_lines(folder: Path) -> None:
    text = '[[worker]]\nnam = "a"\nmemory_mb = true\n\n[[webhok]]\nurl = "x"\n[[webhook]]\nevents = []\n'
    found = problems(folder, text)
    assert list(found) == [
        "1: worker[0]",
        "2: worker[0].nam",
        "3: worker[0].memory_mb",
        "5: webhok",
        "7: webhook[0]",
        "8: webhook[0].events",
    ]
    assert found["5: webhok"] == ["Is not known. Did you mean webhook?"]


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ('[[worker]]\nname = "a"\n[[worker]]\nname = "a"\n', "4: worker[1].name"),
        (
            '[[worker]]\nname = "a"\n[[worker.schedule]]\ncron = "* * * * *"\n[[worker.schedule]]\ncron = "* * * * *"\n',
            "5: worker[0].schedule[1].name",
        ),
        (
            '[[webhook]]\nurl = "https://x/"\nevents = ["*"]\n[[webhook]]\nurl = "https://x/"\nevents = ["*"]\n',
            "5: webhook[1].url",
        ),
    ],
)
def test_what_is_there_twice_is_refused(folder: Path, text: str, where: str) -> None:
    ((place, texts),) = problems(folder, text).items()
    assert place == where
    assert "is there twice" in texts[0]


def test_an_environment_is_checked_too(folder: Path) -> None:
    (folder / "runwright.toml").write_text(
        GOOD + 'memory = 1\n[env.prod.worker.digset]\n[env.qa]\nprofil = "x"\n'
    )
    with pytest.raises(UsageError) as caught:
        read_project(folder, "prod")
    last = len(GOOD.splitlines())
    assert {key.removeprefix("runwright.toml:"): texts[0] for key, texts in caught.value.fields.items()} == {
        f"{last + 1}: env.prod.worker.digest.memory": "Is not known. Did you mean memory_mb?",
        f"{last + 2}: env.prod.worker.digset": "Is not known. Did you mean digest?",
        f"{last + 4}: env.qa.profil": "Is not known. Did you mean profile?",
    }


def test_an_automation_is_fired_by_a_schedule_or_an_event(folder: Path) -> None:
    text = '[[automation]]\nname = "x"\nagent = "a"\nprompt = "p"\n'
    assert problems(folder, text) == {"1: automation[0]": ["Must have either schedule or event."]}


def test_single_brackets_and_a_missing_entrypoint_are_explained(folder: Path) -> None:
    assert problems(folder, '[worker]\nname = "a"\n') == {
        "1: worker": ["Must be a list of tables, each under [[…]] in double brackets."]
    }
    (folder / "main.py").unlink()
    assert problems(folder, '[[worker]]\nname = "a"\n') == {
        "1: worker[0]": [
            "Must have entrypoint; the folder has no main.py, index.js, main.ts, main.sh or main.wasm."
        ]
    }


def test_a_name_that_is_no_secret_can_be_allowed(folder: Path) -> None:
    text = '[[worker]]\nname = "a"\nconfig = { CSRF_TOKEN = "X-CSRF-Token" }\nnot_secret = ["CSRF_TOKEN"]\n'
    assert read(folder, text).workers[0].config == {"CSRF_TOKEN": "X-CSRF-Token"}


@pytest.mark.parametrize(
    "text", ["[[worker]\n", "a = \n", "\x00", f"a = {'1' * 5000}\n", f"a = {'[' * 5000}{']' * 5000}\n"]
)
def test_what_is_no_toml_is_refused(folder: Path, text: str) -> None:
    with pytest.raises(UsageError, match=r"is no TOML|is nested too deeply"):
        read(folder, text)


@pytest.mark.parametrize("text", ["env = 3\n", "[env]\nprod = 3\n", 'profile = 3\n[env.prod]\nurl = ["x"]\n'])
def test_the_server_of_a_file_that_is_wrong_is_none(folder: Path, text: str) -> None:
    (folder / "runwright.toml").write_text(text)
    assert read_target(folder, "prod") == {}


def test_lines_are_right_below_strings_and_lists_of_several_lines(folder: Path) -> None:
    text = '[[worker]]\nname = "a"\ndescription = """\n[[worker]]\nx = 1 # "\n"""\nsecrets = [\n  "A", # ]\n  "B",\n]\nmemory = 1\n'
    assert list(problems(folder, text)) == ["11: worker[0].memory"]
