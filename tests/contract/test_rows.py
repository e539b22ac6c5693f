"""Every row of the AVA contract names a test that proves it, and every such test is there."""

import re
from pathlib import Path

import pytest
from tests.contract.rows import REQUESTS, RULES
from tests.contract.test_auth import ROUTES

TESTS = Path(__file__).parents[1]


def file_of(proof: str) -> Path:
    """Where a proof is: `jobs::…` here, `e2e/bundles::…` there, or a path from tests/."""
    where = proof.partition("::")[0]
    if where.endswith(".py"):
        return TESTS / where
    room, _, name = where.rpartition("/")
    return TESTS / (room or "contract") / f"test_{name}.py"


def test_every_request_has_a_test_that_proves_it() -> None:
    assert set(ROUTES) == REQUESTS.keys()


@pytest.mark.parametrize("row", [*REQUESTS, *RULES], ids=str)
def test_the_tests_of_a_row_are_there(row: tuple[str, str] | str) -> None:
    proofs = RULES[row] if isinstance(row, str) else REQUESTS[row]
    assert proofs
    for proof in proofs:
        name = proof.partition("::")[2]
        assert re.search(rf"^(async )?def test_{name}\(", file_of(proof).read_text(), re.MULTILINE), proof
