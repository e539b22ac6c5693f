"""Holds the tests that `rows.py` names to what they are named for: each must make the request of its row."""

import re
from collections import defaultdict
from collections.abc import Iterator

import httpx
import pytest
from tests.contract.rows import REQUESTS

Request = tuple[str, str]

_CLAIMS: dict[str, set[Request]] = defaultdict(set)
for _row, _proofs in REQUESTS.items():
    for _proof in _proofs:
        _CLAIMS[_proof].add(_row)


def claims_of(path: str, function: str) -> set[Request]:
    """The rows that name this test: `contract/test_jobs.py`, `test_…`."""
    room, _, file = path.rpartition("/")
    where = file.removeprefix("test_").removesuffix(".py")
    name = f"{where if room == 'contract' else f'{room}/{where}'}::{function.removeprefix('test_')}"
    return _CLAIMS.get(name, set())


def matches(row: Request, request: Request) -> bool:
    method, template = row
    pattern = re.sub(r"\\{[^}]*\\}", "[^/]+", re.escape(template))
    return method == request[0] and re.fullmatch(pattern, request[1]) is not None


@pytest.fixture(autouse=True)
def rows_are_proved(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail a test that does not make the request that it is named for."""
    path = request.path.relative_to(request.config.rootpath / "tests")
    claimed = claims_of(str(path), request.function.__name__)
    if not claimed:
        yield
        return
    answered: set[Request] = set()
    send = httpx.Client.send

    def record(client: httpx.Client, request: httpx.Request, **options: object) -> httpx.Response:
        response = send(client, request, **options)  # type: ignore[arg-type]
        answered.add((request.method, request.url.raw_path.decode().partition("?")[0]))
        return response

    monkeypatch.setattr(httpx.Client, "send", record)
    yield
    missing = {row for row in claimed if not any(matches(row, one) for one in answered)}
    assert not missing, f"named in rows.py for {sorted(missing)}, but not requested here"
