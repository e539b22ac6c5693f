"""A database that refuses: one line that says what is wrong, and one that says what to do."""

import asyncio
import os
import ssl
from collections.abc import Sequence
from typing import Final
from urllib.parse import quote

import asyncpg
import pytest

from runwright.db.refusals import explain_refusal
from tests.databases import execute
from tests.preloaded import preloaded

ROLE: Final = f"role_{os.getpid()}"


def _address(postgres: str, *, database: str, user: str) -> str:
    """The server of this test process, with another role and database."""
    host = postgres.partition("host=")[2].partition("&")[0]
    if host:
        return f"postgresql:///{quote(database)}?host={host}&user={user}"
    server = postgres.partition("@")[2].partition("/")[0]
    return f"postgresql://{user}@{server}/{quote(database)}"


async def _refused(postgres: str, *, database: str, user: str = ROLE, options: str = "") -> Sequence[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RUNWRIGHT_")}
    url = _address(postgres, database=database, user=user) + options
    done = await asyncio.to_thread(
        preloaded.run, "db", "migrate", env=clean | {"RUNWRIGHT_DATABASE_URL": url}
    )
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) <= 2, done.stderr
    return lines


@pytest.mark.parametrize(
    ("setting", "database", "message", "hint"),
    [
        ("", "no_such_database", "The database does not exist", "CREATE DATABASE"),
        ("", "{database}", "The role may not do this in the database", "GRANT CREATE"),
        (
            "ALTER DATABASE {database} SET default_transaction_read_only = on",
            "{database}",
            "The database is read-only",
            "name the primary",
        ),
        ("ALTER ROLE {role} CONNECTION LIMIT 0", "{database}", "has no connection left", "max_connections"),
    ],
    ids=["database", "create", "read-only", "connections"],
)
async def test_what_a_database_refuses_is_a_line_with_what_to_do(
    postgres: str, empty_database_url: str, setting: str, database: str, message: str, hint: str
) -> None:
    name = empty_database_url.partition("?")[0].rpartition("/")[2]
    await execute(postgres, f"CREATE ROLE {ROLE} LOGIN")
    try:
        if setting:
            await execute(postgres, setting.format(database=name, role=ROLE))
        error, advice = await _refused(postgres, database=database.format(database=name))
    finally:
        await execute(postgres, f"DROP ROLE {ROLE}")
    assert message in error
    assert hint in advice


async def test_a_missing_role_and_a_misspelt_option_are_lines(postgres: str, empty_database_url: str) -> None:
    name = empty_database_url.partition("?")[0].rpartition("/")[2]
    error, advice = await _refused(postgres, database=name, user="no_such_role")
    assert "The database refuses the login" in error
    assert "no_such_role" in error
    assert "pg_hba.conf" in advice
    option = "&colour=red" if "?" in _address(postgres, database=name, user=ROLE) else "?colour=red"
    (error,) = await _refused(postgres, database=name, options=option)
    assert "there is no option 'colour'" in error


def test_certificates_and_rules_for_hosts_are_explained() -> None:
    wrong = ssl.SSLCertVerificationError("certificate verify failed")
    wrong.verify_message = "Hostname mismatch, certificate is not valid for 'db'."
    found = explain_refusal(wrong)
    assert found is not None
    assert found.message.endswith("Hostname mismatch, certificate is not valid for 'db'.")
    rule = asyncpg.InvalidAuthorizationSpecificationError('no pg_hba.conf entry for host "10.0.0.1"\nmore')
    found = explain_refusal(rule)
    assert found is not None
    assert "more" not in found.message
    assert explain_refusal(ValueError("x")) is None
