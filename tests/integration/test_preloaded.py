"""Commands that are forks of a process that has loaded them are processes like others."""

import os
import subprocess
from pathlib import Path

from tests.preloaded import preloaded


def test_a_command_has_arguments_variables_and_a_folder_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text("executor_slots = 3\n")
    shown = preloaded.run(
        "config", "--config", "my.toml", env={"RUNWRIGHT_PORT": "99", "HOME": str(tmp_path)}, folder=tmp_path
    )
    assert values(shown.stdout)["executor_slots"] == ["3", "file"]
    assert values(shown.stdout)["port"] == ["99", "env"]
    again = preloaded.run("config", env={"HOME": str(tmp_path)}, folder=tmp_path)
    assert values(again.stdout)["port"] == ["8080", "default"]


def values(shown: str) -> dict[str, list[str]]:
    """Return each setting's value and where it is from."""
    return {line.split()[0]: line.split()[1:3] for line in shown.splitlines() if line.strip()}


def test_a_shell_finds_it_and_gets_its_output_and_its_status(tmp_path: Path) -> None:
    line = "runwright nope; echo $?; cd / && runwright version | tr a-z A-Z"
    path = f"{preloaded.folder}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", line], env={"PATH": path}, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "There is no command 'nope'" in done.stderr
    status, version = done.stdout.splitlines()
    assert status == "2"
    assert version.startswith("RUNWRIGHT ")
