"""Every command that the README and the documentation print is run, page by page, against a real server."""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.contract.conftest import PLATFORM_KEY, Server, running_server
from tests.preloaded import preloaded
from tests.printed import PrintedCommandError, Shell, Statement, read_page
from tests.receiver import Receiver, receiving

ROOT = Path(__file__).parents[2]
PREPARED = Path(__file__).parent / "printed"
"""What a reader has done before a page's first command, by the page's name."""

PAGES = {
    path.relative_to(ROOT).as_posix(): path
    for path in (ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md")))
}
WITH_COMMANDS = [name for name, path in PAGES.items() if read_page(path.read_text())[0]]
MOST_SKIPPED = 14


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server for development, so that webhooks may go to this machine."""
    with running_server(RUNWRIGHT_DEV="1") as one:
        (one.data_dir / "platform-key").write_text(PLATFORM_KEY)
        yield one


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with receiving() as one:
        yield one


@pytest.fixture
def shell(
    server: Server, receiver: Receiver, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Shell]:
    """The shell of a reader who has the platform key and a key of a tenant, on a machine with a server."""
    tenant = f"ten_{Path(request.node.callspec.params['page']).stem.lower().replace('-', '_')}"
    environment = shell_environment(server, tenant, tmp_path) | {"RECEIVER": f"{receiver.url}/hook"}
    replaced = {"http://127.0.0.1:8080": server.url, "ten_acme": f"{tenant}_acme", "ten_demo": tenant}
    with Shell(tmp_path / "shell", environment, replaced) as one:
        one.run(Statement(0, f'source "{PREPARED}/all.sh"'))
        yield one


def shell_environment(server: Server, tenant: str, folder: Path) -> dict[str, str]:
    """Return the variables of a reader on the server's machine who has a key of a tenant."""
    data = folder / "home" / ".local" / "share" / "runwright"
    data.parent.mkdir(parents=True)
    data.symlink_to(server.data_dir)
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("RUNWRIGHT_", "AVA"))
    }
    return inherited | {
        "PATH": os.pathsep.join((str(preloaded.folder), str(Path(sys.executable).parent), inherited["PATH"])),
        "HOME": str(folder / "home"),
        "RUNWRIGHT_DATA_DIR": str(server.data_dir),
        "RUNWRIGHT_URL": server.url,
        "RUNWRIGHT_KEY": server.run("keys", "create", "--tenant", tenant, "--role", "tenant-system-admin"),
        "PLATFORM_KEY": PLATFORM_KEY,
        "TENANT": tenant,
        "PREPARED": str(PREPARED),
        "NO_PROXY": "*",
    }


@pytest.mark.timeout(300)
@pytest.mark.parametrize("page", WITH_COMMANDS)
def test_every_command_of_the_page_runs(page: str, shell: Shell) -> None:
    prepared = PREPARED / f"{Path(page).stem}.sh"
    if prepared.exists():
        shell.run(Statement(0, f'source "{prepared}"'))
    for statement in read_page(PAGES[page].read_text())[0]:
        try:
            shell.run(statement)
        except PrintedCommandError as failure:
            pytest.fail(f"{page}: {failure}")


def test_blocks_that_are_not_run_are_few_and_have_a_reason() -> None:
    skipped = [
        f"{name}:{one.line}: {one.reason}"
        for name, path in PAGES.items()
        for one in read_page(path.read_text())[1]
    ]
    assert len(skipped) <= MOST_SKIPPED, "\n".join(skipped)
    assert all(len(one.split()) >= 4 for one in skipped), skipped


def test_there_is_a_bash() -> None:
    assert shutil.which("bash")
    assert "README.md" in WITH_COMMANDS
