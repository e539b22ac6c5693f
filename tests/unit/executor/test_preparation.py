"""What an attempt needs is gathered before it runs, or it fails with the reason."""

from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec
import pytest

from runwright.core.ids import JobId, WorkerId
from runwright.core.job_state import ErrorCode
from runwright.executor.preparation import Preparation, Refusal
from runwright.executor.worker_cache import LoadedWorker
from runwright.jobs.model import ClaimedAttempt
from runwright.loops.version_files import LoadError, VersionFolders
from runwright.runtimes.model import Assignment, OutcomeStatus, WorkerCode
from runwright.secrets.model import VaultKeyError
from runwright.telemetry.events.executor import SecretNotOpened
from runwright.workers.store import WorkerRevision
from tests.telemetry import RecordedTelemetry

REVISION = WorkerRevision(
    name="w",
    worker_id="wkr_1",
    tenant_id="ten_a",
    runtime="python",
    revision=2,
    version=3,
    entrypoint="main.py",
    source_code="x",
    config={},
    secrets=[],
    timeout_seconds=30,
    max_concurrency=None,
    memory_mb=128,
    network=None,
    updated_at=datetime(2026, 3, 1, tzinfo=UTC),
)
CODE = WorkerCode(
    key="k",
    tenant_id="ten_a",
    worker_id="wkr_1",
    version=3,
    runtime="python",
    entrypoint="main.py",
    source=b"x",
    memory_mb=128,
    network=None,
)
ATTEMPT = ClaimedAttempt(
    tenant_id="ten_a",
    job_id=JobId("job_1"),
    worker_id=WorkerId("wkr_1"),
    worker_version=3,
    worker_revision=2,
    attempt=4,
    retries_left=0,
    fence=1,
    input=b"{}",
    awaited=False,
)


class Secrets:
    """Secrets of one tenant; with `broken`, none can be decrypted."""

    def __init__(self, values: Mapping[str, str], *, broken: bool = False) -> None:
        self.values = values
        self.broken = broken

    async def reveal(self, tenant_id: str, names: list[str]) -> Mapping[str, str]:
        if self.broken:
            raise VaultKeyError("The vault key vk_1 is missing.")
        return {name: self.values[name] for name in names if tenant_id == "ten_a" and name in self.values}


class Folders:
    """Files of versions; without `folders` they cannot be read."""

    def __init__(self, folders: VersionFolders | None) -> None:
        self.made = folders

    async def folders(self, revision: WorkerRevision) -> VersionFolders:
        if self.made is None:
            raise LoadError(f"Version {revision.version} is damaged.")
        return self.made


def loaded(*, secrets: list[str] | None = None, bundle: str | None = None) -> LoadedWorker:
    revision = msgspec.structs.replace(REVISION, secrets=secrets or [], bundle_digest=bundle)
    return LoadedWorker(revision, CODE, {"MODE": "test"})


async def assigned(preparation: Preparation, worker: LoadedWorker) -> Assignment:
    prepared = await preparation.prepare(7, ATTEMPT, worker)
    assert isinstance(prepared, Assignment)
    assert (prepared.id, prepared.job_id, prepared.attempt, prepared.input) == (7, "job_1", 4, b"{}")
    assert (prepared.env, prepared.timeout_seconds) == ({"MODE": "test"}, 30)
    return prepared


@pytest.mark.parametrize(
    ("worker", "needed"),
    [(loaded(), False), (loaded(secrets=["A"]), True), (loaded(bundle="sha256:1"), True)],
)
def test_only_secrets_and_files_need_preparation(worker: LoadedWorker, needed: bool) -> None:
    assert worker.needs_preparation is needed


async def test_without_secrets_and_files_the_code_runs_as_it_is() -> None:
    prepared = await assigned(Preparation(Secrets({"A": "1"}), Folders(None)), loaded())
    assert (prepared.secrets, prepared.masker, prepared.code) == ({}, None, CODE)


@pytest.mark.parametrize("size", [6, 16 * 1024 - 1, 16 * 1024, 40 * 1024])
async def test_secrets_are_given_and_masked_whatever_their_size(size: int) -> None:
    value = "s3cret-" * (size // 7) + "s3cret-"[: size % 7]
    prepared = await assigned(Preparation(Secrets({"A": value, "B": "other"})), loaded(secrets=["A"]))
    assert prepared.secrets == {"A": value}
    assert prepared.masker is not None
    assert value.encode() not in prepared.masker.mask(b"it is " + value.encode())


async def test_secrets_that_are_not_set_are_named() -> None:
    worker = loaded(secrets=["A", "B", "C"])
    expected = "The worker lists secrets that are not set: {}."
    for preparation, missing in (
        (Preparation(), "A, B, C"),
        (Preparation(Secrets({"B": "1"})), "A, C"),
        (Preparation(Secrets({})), "A, B, C"),
    ):
        refused = await preparation.prepare(7, ATTEMPT, worker)
        assert refused == Refusal(ErrorCode.MISSING_SECRET, expected.format(missing))


async def test_secrets_that_cannot_be_decrypted_are_reported_to_the_operator_too() -> None:
    telemetry = RecordedTelemetry()
    message = "The vault key vk_1 is missing."
    for emit in (telemetry, None):
        preparation = Preparation(Secrets({}, broken=True), None, emit)
        refused = await preparation.prepare(7, ATTEMPT, loaded(secrets=["A"]))
        assert refused == Refusal(ErrorCode.MISSING_SECRET, message)
    assert telemetry.events == [SecretNotOpened(worker_id="wkr_1", error=message)]


async def test_the_folders_of_a_bundle_are_mounted() -> None:
    preparation = Preparation(None, Folders(VersionFolders(bundle="/b", layer="/l")))
    prepared = await assigned(preparation, loaded(bundle="sha256:1"))
    assert prepared.code == msgspec.structs.replace(CODE, bundle="/b", layer="/l")


async def test_files_that_cannot_be_read_are_the_reason_why_it_fails() -> None:
    refused = await Preparation(None, Folders(None)).prepare(7, ATTEMPT, loaded(bundle="sha256:1"))
    assert isinstance(refused, Refusal)
    assert refused == Refusal(ErrorCode.LOAD_ERROR, "Version 3 is damaged.")
    outcome = refused.outcome()
    assert (outcome.status, outcome.error_code) == (OutcomeStatus.FAILED, "load_error")
    assert outcome.error_message == "Version 3 is damaged."
