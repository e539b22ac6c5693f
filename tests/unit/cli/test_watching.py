"""What is saved is deployed, whenever it is saved."""

from pathlib import Path
from threading import Event

from runwright.cli.dev.watching import saves


def test_what_is_saved_before_the_first_deploy_has_ended_is_reported(tmp_path: Path) -> None:
    ending = Event()
    found = saves(tmp_path, ending)
    assert list(next(found)) == []  # from here on, while the consumer deploys for the first time
    (tmp_path / "main.py").write_text("print(1)\n")
    assert [path.name for path in next(found)] == ["main.py"]
    (tmp_path / ".env").write_text("A=1\n")
    (tmp_path / "other.py").write_text("print(2)\n")
    assert [path.name for path in next(found)] == ["other.py"]
    ending.set()
    assert list(found) == [], "the exception of a signal may be lost"
