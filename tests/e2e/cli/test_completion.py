"""Completion of commands, of options and of names that the server knows; a server that is away completes nothing."""

import pytest
from tests.e2e.cli.conftest import Home

from runwright import Runwright


def completed(home: Home, words: str, **variables: str) -> list[str]:
    """Return what bash would offer for the last word."""
    asked = {
        "_RUNWRIGHT_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(words.count(" ")),
    }
    done = home.run("runwright", **asked, **variables)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("runwright wo", ["workers"]),
        ("runwright jobs can", ["cancel"]),
        ("runwright run --idem", ["--idempotency-key"]),
    ],
)
def test_commands_and_options_are_completed(home: Home, words: str, offered: list[str]) -> None:
    assert completed(home, words) == offered


def test_names_and_ids_are_completed_from_the_server(home: Home, rw: Runwright) -> None:
    worker = rw.workers.create(
        "complete-me", "python", source_code="def handler(input, env):\n    return 1\n"
    )
    job = rw.jobs.submit(worker.id)
    rw.secrets.set("COMPLETE_TOKEN", "value-of-it")
    patient = {"RUNWRIGHT_COMPLETION_SECONDS": "20"}
    assert completed(home, "runwright run compl", **patient) == ["complete-me"]
    assert completed(home, "runwright jobs list --worker compl", **patient) == ["complete-me"]
    assert completed(home, "runwright secrets rm COMPL", **patient) == ["COMPLETE_TOKEN"]
    assert job.id in completed(home, "runwright jobs get job_", **patient)
    assert completed(home, "runwright run compl", RUNWRIGHT_URL="http://127.0.0.1:9") == []


def test_a_file_that_cannot_be_read_completes_nothing_and_prints_nothing(home: Home) -> None:
    home.write("config/runwright/profiles.toml", "[profiles.production]\nurl = 'https://rw.example.com'\n")
    assert completed(home, "runwright profile use pro") == ["production"]
    home.write("config/runwright/profiles.toml", "[profiles.production\n")
    home.write("runwright.toml", "[[worker]\n")
    assert completed(home, "runwright profile use pro") == []
    assert completed(home, "runwright run compl", RUNWRIGHT_URL="", RUNWRIGHT_KEY="") == []


def test_scripts_of_shells_are_printed(home: Home) -> None:
    for shell in ("bash", "zsh", "fish"):
        assert "_RUNWRIGHT_COMPLETE" in home.ok(f"runwright completion {shell}")
    assert home.run("runwright completion tcsh").returncode == 2
