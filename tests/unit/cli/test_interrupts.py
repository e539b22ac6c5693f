"""Ctrl-C ends a command that is being loaded at once, without a traceback, and raises in one that runs."""

import signal
import subprocess
import sys

LOADING = """
import os, signal
import runwright.cli.entry
os.kill(os.getpid(), signal.SIGINT)
print("alive")
"""
RUNNING = """
import os, signal, sys
import runwright.cli.entry
from runwright.cli.apps import Commands

app = Commands("some", runs_alone=True)

@app.callback()
def alone() -> None:
    pass

@app.command()
def one() -> None:
    try:
        os.kill(os.getpid(), signal.SIGINT)
    except KeyboardInterrupt:
        print("raised")

app(["one"], standalone_mode=False)
"""


def run(code: str, *before: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*before, sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )


def test_while_a_command_is_loaded_it_ends_at_once() -> None:
    done = run(LOADING)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


def test_where_it_is_ignored_it_stays_ignored() -> None:
    done = run(LOADING, "bash", "-c", "trap '' INT; exec \"$@\"", "-")
    assert (done.returncode, done.stdout) == (0, "alive\n")


def test_in_a_command_that_runs_it_is_raised() -> None:
    assert run(RUNNING).stdout == "raised\n"
