"""Versions with dependencies become ready or fail with a reason, whatever happens to builders."""

import pytest

from runwright.builds.log import BuildLog
from runwright.builds.model import Build
from runwright.core.roles import Caller, Role
from runwright.loops.version_files import LayerLookup, LayerNotReadyError, LoadError
from runwright.workers.model import ImportCheck, RuntimeName, WorkerChanges
from tests.integration.loops.build_cluster import HANDLER, BuildCluster, installing


async def test_a_version_becomes_ready_and_active_when_its_packages_are_installed(
    cluster: BuildCluster,
) -> None:
    cluster.registry.add_wheel("colour", "1.0", "RED = 'red'\n", requires=("shade>=1",))
    cluster.registry.add_wheel("shade", "1.2", "DARK = True\n")
    worker = await cluster.worker()
    version = await cluster.deploy(worker, {"requirements.txt": "colour==1.0\n"})
    before = await cluster.workers.get(worker.tenant_id, worker.id)
    await cluster.builder().start()
    status, error, key = await cluster.ended(worker, version)
    assert (status, error) == ("ready", None)
    assert key is not None
    files = await cluster.layer_files(key)
    assert (files / "python" / "colour.py").read_text() == "RED = 'red'\n"
    assert (files / "python" / "shade.py").exists()
    assert list((files / "python" / "__pycache__").glob("colour.*.pyc")), "byte code is made beforehand"
    assert await cluster.serving(worker) == version
    revision = await cluster.db.fetchval("SELECT revision FROM workers WHERE id = $1", worker.id)
    assert revision == 2, "executors hear of it by the revision"
    assert (await cluster.workers.get(worker.tenant_id, worker.id)).updated_at >= before.updated_at
    assert "+ colour==1.0" in await cluster.log(worker, version)


async def test_equal_manifests_are_installed_once(cluster: BuildCluster) -> None:
    cluster.registry.add_wheel("once", "1.0", "")
    worker, other = await cluster.worker(), await cluster.worker()
    versions = [
        await cluster.deploy(w, {"requirements.txt": "once", "x.txt": str(n)})
        for n, w in enumerate((worker, worker, other))
    ]
    await cluster.builder(slots=2).start()
    ends = [await cluster.ended(w, v) for w, v in zip((worker, worker, other), versions, strict=True)]
    assert {end[0] for end in ends} == {"ready"}
    assert len({end[2] for end in ends}) == 1
    assert cluster.registry.asked["/simple/once/"] == 1
    logs = [await cluster.log(w, v) for w, v in zip((worker, worker, other), versions, strict=True)]
    assert sum("was installed before" in log for log in logs) == 2
    assert all("once==1.0" in log for log in logs)


async def test_tenants_never_share_a_layer(cluster: BuildCluster) -> None:
    cluster.registry.add_wheel("ours", "1.0", "")
    mine, theirs = await cluster.worker(tenant="ten_a"), await cluster.worker(tenant="ten_b")
    versions = [await cluster.deploy(worker, {"requirements.txt": "ours"}) for worker in (mine, theirs)]
    await cluster.builder().start()
    ends = [await cluster.ended(w, v) for w, v in zip((mine, theirs), versions, strict=True)]
    assert ends[0][2] != ends[1][2]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"requirements.txt": "nothing-of-that-name"}, "nothing-of-that-name was not found"),
        ({"requirements.txt": "real==1.0\nreal==2.0"}, "real==1.0 and real==2.0"),
        ({"requirements.txt": "real==9"}, "no version of real==9"),
        ({"requirements.txt": "needy"}, "needs-what-is-not"),
        ({"requirements.txt": "--index-url https://evil.example/simple"}, "--index-url is not allowed"),
        ({"requirements.txt": "real @ file:///etc/passwd"}, "file:///etc/passwd"),
        ({"requirements.txt": "sly"}, "sly"),
        ({"requirements.txt": "source-only"}, "no usable wheels"),
        (
            {
                "main.py": '# /// script\n# requires-python = ">=4"\n# dependencies = ["real"]\n# ///\n'
                + HANDLER
            },
            "workers run on Python 3",
        ),
    ],
)
async def test_what_cannot_be_installed_fails_with_the_reason_and_the_old_version_stays_active(
    cluster: BuildCluster, files: dict[str, str], said: str
) -> None:
    cluster.registry.add_wheel("real", "1.0", "")
    cluster.registry.add_wheel("real", "2.0", "")
    cluster.registry.add_wheel("needy", "1.0", "", requires=("needs-what-is-not",))
    cluster.registry.add_wheel(
        "sly", "1.0", "", requires=("real @ https://evil.example/real-1.0-py3-none-any.whl",)
    )
    cluster.registry.add_sdist("source-only", "1.0", "open('/build/out/python-ran', 'w')")
    worker = await cluster.worker()
    version = await cluster.deploy(worker, files)
    await cluster.builder().start()
    status, error, key = await cluster.ended(worker, version)
    assert (status, key) == ("failed", None)
    assert error is not None
    assert said in error
    assert "/build" not in error
    assert await cluster.serving(worker) == 1


async def test_a_version_that_was_overtaken_is_ready_and_not_active(cluster: BuildCluster) -> None:
    cluster.registry.add_wheel("slow", "1.0", "")
    worker = await cluster.worker()
    version = await cluster.deploy(worker, {"requirements.txt": "slow"})
    # The active version was settled while it was being built.
    await cluster.db.execute("UPDATE workers SET settled_version = $2 WHERE id = $1", worker.id, version)
    await cluster.builder().start()
    assert (await cluster.ended(worker, version))[0] == "ready"
    assert await cluster.serving(worker) == 1


async def test_scripts_of_npm_packages_run_only_where_the_operator_allows_it(cluster: BuildCluster) -> None:
    """The same package with the setting off and on, so that the first half can fail."""
    cluster.registry.add_npm(
        "scripted",
        "1.0.0",
        {"index.js": "module.exports = 7", "run.js": "require('fs').writeFileSync('ran', '')"},
        scripts={"postinstall": "node run.js"},
        hasInstallScript=True,
    )
    worker = await cluster.worker(RuntimeName.NODEJS)
    package = '{"dependencies": {"scripted": "1.0.0"}, "scripts": {"postinstall": "touch root-ran"}}'
    found = {}
    for scripts in (False, True):
        version = await cluster.deploy(worker, {"package.json": package, "x": str(scripts)})
        builder = cluster.builder(scripts=scripts)
        await builder.start()
        status, error, key = await cluster.ended(worker, version)
        await builder.stop()
        assert status == "ready", error
        assert key is not None
        files = await cluster.layer_files(key)
        assert (files / "node_modules" / "scripted" / "index.js").exists()
        assert not list(files.rglob("root-ran"))
        found[scripts] = (files / "node_modules" / "scripted" / "ran").exists()
    assert found == {False: False, True: True}


async def test_a_download_that_never_ends_is_given_up(cluster: BuildCluster) -> None:
    cluster.registry.add_wheel("endless", "1.0", "")
    cluster.registry.endless.add("/simple/endless/")
    worker = await cluster.worker()
    version = await cluster.deploy(worker, {"requirements.txt": "endless"})
    await cluster.builder(seconds=4).start()
    status, error, _ = await cluster.ended(worker, version)
    assert status == "failed"
    assert error is not None
    assert "longer than 4 seconds" in error


async def test_the_log_is_there_while_it_is_being_built(cluster: BuildCluster) -> None:
    cluster.registry.add_wheel("gated", "1.0", "")
    worker = await cluster.worker()
    version = await cluster.deploy(worker, {"requirements.txt": "gated"})
    await installing(cluster, worker, version)
    assert (await cluster.state(worker, version))[0] == "building"
    cluster.registry.gate.set()
    assert (await cluster.ended(worker, version))[0] == "ready"


@pytest.mark.parametrize("which", [ImportCheck.ONLY, ImportCheck.INSTALLED])
async def test_a_version_whose_import_fails_never_serves_and_one_without_a_check_is_not_imported(
    cluster: BuildCluster, which: ImportCheck
) -> None:
    imported: list[tuple[int, bool]] = []

    async def refuse(build: Build, layer_key: str | None, _: BuildLog) -> str | None:
        imported.append((build.version, layer_key is not None))
        return "no handler"

    cluster.registry.add_wheel("checked", "1.0", "")
    files = {"requirements.txt": "checked"} if which is ImportCheck.INSTALLED else {}
    worker = await cluster.worker()
    version = await cluster.deploy(worker, files, which)
    await cluster.builder(check=refuse).start()
    assert (await cluster.ended(worker, version))[:2] == ("failed", "no handler")
    assert await cluster.serving(worker) == 1
    unchecked = await cluster.deploy(worker, files)
    assert (await cluster.ended(worker, unchecked))[0] == "ready"
    assert imported == [(version, which is ImportCheck.INSTALLED)]


async def test_only_runtimes_of_this_host_are_claimed(cluster: BuildCluster) -> None:
    await cluster.deploy(await cluster.worker(), {"requirements.txt": "x"})
    assert await cluster.builds().claim(["nodejs"]) is None


async def test_a_layer_for_interpreters_that_are_gone_is_installed_again(cluster: BuildCluster) -> None:
    cluster.registry.add_wheel("upgraded", "1.0", "")
    worker = await cluster.worker()
    version = await cluster.deploy(worker, {"requirements.txt": "upgraded"})
    await cluster.builder().start()
    _, _, key = await cluster.ended(worker, version)
    assert key is not None
    mine = await cluster.builds().layer(key)
    assert mine is not None
    woken: list[int] = []
    layers = LayerLookup(
        cluster.db,
        platform_of={"python": mine.platform}.get,
        on_building=lambda: woken.append(1),
        emit=cluster.telemetry,
    )
    assert await layers.digest(key, "python") == mine.digest
    assert await layers.digest("no such layer", "python") is None
    # As if it had been built before an upgrade.
    await cluster.db.execute("UPDATE layers SET key = 'before', platform = 'cpython-3.1' WHERE key = $1", key)
    await cluster.db.execute("UPDATE worker_versions SET layer_key = 'before' WHERE layer_key = $1", key)
    with pytest.raises(LoadError, match=r"cpython-3\.1"):
        # Built a moment ago: executors on different platforms must not rebuild it in turns.
        await layers.digest("before", "python")
    await cluster.db.execute("UPDATE builds SET ended_at = ended_at - interval '1 hour'")
    revision = await cluster.db.fetchval("SELECT revision FROM workers WHERE id = $1", worker.id)
    with pytest.raises(LayerNotReadyError):
        await layers.digest("before", "python")
    assert woken
    assert await cluster.serving(worker) == version
    status, error, again = await cluster.ended(worker, version)
    assert (status, error, again) == ("ready", None, key)
    assert await cluster.serving(worker) == version
    after = await cluster.db.fetchval("SELECT revision FROM workers WHERE id = $1", worker.id)
    assert after > revision, "executors hear of it by the revision"


async def test_a_change_meanwhile_is_not_undone(cluster: BuildCluster) -> None:
    """Inline source that was set later stays active when an earlier bundle becomes ready."""
    cluster.registry.add_wheel("earlier", "1.0", "")
    worker = await cluster.worker()
    version = await cluster.deploy(worker, {"requirements.txt": "earlier"})
    caller = Caller(worker.tenant_id, "usr_1", Role.TENANT_SYSTEM_ADMIN, "key_1")
    await cluster.workers.change(caller, worker.id, WorkerChanges(name="renamed"))
    await cluster.builder().start()
    assert (await cluster.ended(worker, version))[0] == "ready"
    changed = await cluster.workers.get(worker.tenant_id, worker.id)
    assert (changed.name, changed.version) == ("renamed", version)
