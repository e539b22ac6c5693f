"""A whole installation in a file and back, by the commands that an operator types."""

import json
import re
import shutil
import tempfile
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.contract.conftest import PLATFORM_KEY, Server, serving
from tests.e2e.cli.conftest import Home
from tests.waiting import PATIENCE_SECONDS, until

from runwright import Runwright

USES_SECRET = "def handler(input, env):\n    return {'length': len(env['KEPT_SECRET']), 'got': input}\n"
VALUE = "a-secret-value-of-the-test"


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that the database's user can reach."""
    folder = Path(tempfile.mkdtemp(prefix="runwright-restored-", dir="/tmp"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def operator(home: Home, server: Server) -> Home:
    """An operator on the server's machine."""
    home.env |= {"RUNWRIGHT_DATA_DIR": str(server.data_dir), "RUNWRIGHT_PLATFORM_KEY": PLATFORM_KEY}
    return home


def test_an_installation_comes_back_with_its_jobs_and_secrets(
    operator: Home, rw: Runwright, key: str, place: Path
) -> None:
    rw.secrets.set("KEPT_SECRET", VALUE)
    rw.workers.create("keeper", "python", source_code=USES_SECRET, secrets=["KEPT_SECRET"])
    job = rw.jobs.run("keeper", {"n": 1}, wait=60)
    made = json.loads(operator.ok("runwright backup all.backup --with-vault-key -o json"))
    file = operator.folder / "all.backup"
    assert (made["bytes"], file.stat().st_mode & 0o777) == (file.stat().st_size, 0o600)
    assert re.search(r"all \d+ decrypted", operator.ok("runwright restore all.backup --verify"))
    data = place / "data"
    done = operator.ok(f"runwright restore all.backup --data-dir {data}")
    assert f"runwright serve --data-dir {data}" in done
    assert sorted(one.name for one in data.iterdir()) == ["pg", "vault-key"]
    with serving({}, prepared=data) as other, Runwright(other.url, key) as restored:
        assert restored.jobs.get(job.id).output == job.output
        assert restored.jobs.run("keeper", {"n": 2}, wait=60).output == {
            "length": len(VALUE),
            "got": {"n": 2},
        }


def test_a_backup_under_load_has_every_ended_job_and_each_queued_one_ends_once(
    operator: Home, rw: Runwright, key: str, place: Path
) -> None:
    rw.workers.create("busy", "python", source_code="def handler(input, env):\n    return input['n']\n")
    ended = [rw.jobs.run("busy", {"n": n}, wait=60).id for n in range(3)]
    enough, stop = threading.Event(), threading.Event()

    def submit() -> None:
        for n in range(100, 400):
            rw.jobs.submit("busy", {"n": n})
            if n == 120:
                enough.set()
            if stop.is_set():
                return

    load = threading.Thread(target=submit)
    load.start()
    try:
        assert enough.wait(PATIENCE_SECONDS)
        operator.ok("runwright backup busy.backup --with-vault-key")
    finally:
        stop.set()
        load.join()
    data = place / "data"
    operator.ok(f"runwright restore busy.backup --data-dir {data}")
    with serving({}, prepared=data) as other, Runwright(other.url, key) as restored:
        jobs = until(
            lambda: list(restored.jobs.list(worker="busy")),
            lambda seen: all(job.status in ("completed", "failed") for job in seen),
        )
        # What was running when the copy was taken began once, and may not begin again.
        lost = [job.error.code for job in jobs if job.error is not None]
        assert lost == ["executor_lost"] * len(lost)
        assert len(lost) <= 1, "the jobs are submitted one after the other"
        assert len(jobs) >= 3 + 20
        assert set(ended) <= {job.id for job in jobs}
        assert {job.id: job.output for job in jobs if job.id in ended} == dict(
            zip(ended, range(3), strict=True)
        )
        twice = other.write(
            "SELECT subject_id FROM events WHERE type = 'job.completed' GROUP BY 1 HAVING count(*) > 1"
        )
        assert twice == "SELECT 0"


def test_a_backup_has_no_key_unless_it_is_asked_for(
    operator: Home, rw: Runwright, server: Server, place: Path
) -> None:
    rw.secrets.set("KEPT_SECRET", VALUE)
    rw.workers.create("due", "python", source_code="def handler(input, env):\n    return 1\n")
    rw.jobs.submit("due", {}, scheduled_at=datetime.now(UTC) + timedelta(seconds=2))
    done = operator.run("runwright backup plain.backup")
    assert done.returncode == 0
    assert "the vault key" in done.stderr
    assert str(server.data_dir / "vault-key") in done.stderr
    content = (operator.folder / "plain.backup").read_bytes()
    for secret in ((server.data_dir / "vault-key").read_text().strip(), PLATFORM_KEY, VALUE):
        assert secret.encode() not in content
    temporary = place / "temporary"
    temporary.mkdir()
    checked = json.loads(
        operator.ok("runwright restore plain.backup --verify -o json", TMPDIR=str(temporary))
    )
    assert checked["trial"] == {
        "rows": sum(checked["rows"].values()),
        "secrets": checked["trial"]["secrets"],
        "job": "completed",
    }
    assert checked["trial"]["secrets"] >= 1
    elsewhere = {"RUNWRIGHT_DATA_DIR": str(place / "none")}
    no_key = operator.run("runwright restore plain.backup --verify -o json", **elsewhere)
    assert json.loads(no_key.stdout)["trial"]["secrets"] is None, no_key.stderr
    assert not list(temporary.iterdir())
    data = place / "data"
    restored = operator.run(f"runwright restore plain.backup --data-dir {data}")
    assert restored.returncode == 0
    assert f"put it into\n  {data / 'vault-key'}" in restored.stderr
    assert [one.name for one in data.iterdir()] == ["pg"]
    refused = operator.run(f"runwright vault status --data-dir {data}")
    assert (refused.returncode, "There is no vault key" in refused.stderr) == (1, True)
    configured = operator.run(
        "runwright backup x.backup --with-vault-key", RUNWRIGHT_VAULT_KEY_FILE="/etc/key"
    )
    assert (configured.returncode, "comes from a setting" in configured.stderr) == (2, True)


def test_files_and_folders_that_exist_are_left_alone(operator: Home, server: Server, place: Path) -> None:
    operator.write("taken.backup", "mine")
    refused = operator.run("runwright backup taken.backup")
    assert (refused.returncode, "--force" in refused.stderr) == (1, True)
    assert (operator.folder / "taken.backup").read_text() == "mine"
    operator.ok("runwright backup taken.backup --force")
    (place / "notes.txt").write_text("mine")
    full = operator.run(f"runwright restore taken.backup --data-dir {place}")
    assert (full.returncode, "is not empty: it has notes.txt" in full.stderr) == (1, True)
    assert [one.name for one in place.iterdir()] == ["notes.txt"]
    busy = operator.run("runwright restore taken.backup")
    assert (busy.returncode, f"{server.data_dir} is not empty" in busy.stderr) == (1, True)


def test_a_damaged_file_is_reported_and_restores_nothing(operator: Home, place: Path) -> None:
    operator.ok("runwright backup good.backup")
    content = (operator.folder / "good.backup").read_bytes()
    middle = len(content) // 2
    (operator.folder / "bad.backup").write_bytes(content[:middle] + b"\0\0\0\0" + content[middle + 4 :])
    (operator.folder / "short.backup").write_bytes(content[:middle])
    for name, why in (("bad", "is damaged"), ("short", "is not a complete backup")):
        checked = operator.run(f"runwright restore {name}.backup --verify")
        assert (checked.returncode, why in checked.stderr) == (1, True), checked.stderr
        restored = operator.run(f"runwright restore {name}.backup --data-dir {place / 'data'}")
        assert (restored.returncode, why in restored.stderr) == (1, True), restored.stderr
        assert not (place / "data").exists()
    missing = operator.run("runwright restore nothing.backup --verify")
    assert (missing.returncode, "There is no file" in missing.stderr) == (5, True)


def test_a_secret_that_was_altered_is_reported_by_name(
    operator: Home, rw: Runwright, server: Server, place: Path
) -> None:
    rw.secrets.set("SOUND_SECRET", VALUE)
    rw.secrets.set("ALTERED_SECRET", VALUE)
    tenant = rw.whoami().tenant_id
    changed = (
        "UPDATE secrets SET sealed = set_byte(sealed, $2, get_byte(sealed, $2) # 1)"
        " WHERE tenant_id = $1 AND name = 'ALTERED_SECRET'"
    )
    last = len(VALUE)  # somewhere in the middle of what is stored
    assert server.write(changed, tenant, last) == "UPDATE 1"
    operator.ok("runwright backup altered.backup --with-vault-key")
    checked = operator.run("runwright restore altered.backup --verify", TMPDIR=str(place))
    assert (checked.returncode, checked.stdout) == (1, "")
    assert f"A secret does not decrypt with its key: ALTERED_SECRET of {tenant}." in checked.stderr
    assert not list(place.iterdir())
    assert server.write(changed, tenant, last) == "UPDATE 1"
    operator.ok("runwright backup mended.backup --with-vault-key")
    assert "decrypted" in operator.ok("runwright restore mended.backup --verify")


def test_a_backup_goes_through_a_pipe_and_shows_itself_at_a_terminal(operator: Home) -> None:
    operator.ok("runwright backup - | cat > piped.backup")
    assert json.loads(operator.ok("runwright restore piped.backup --verify -o json"))["rows"]["workers"] >= 0
    terminal = operator.terminal("runwright backup shown.backup")
    assert terminal.expect("shown.backup").end() == 0, terminal.text
    assert max(map(len, re.split(r"[\r\n]", terminal.text))) <= 80, terminal.text
    refused = operator.terminal("runwright backup -")
    assert refused.expect("not for a terminal").end() == 2
