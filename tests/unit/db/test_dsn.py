"""The address of a database in the forms that people have."""

import re
import ssl

import pytest
from asyncpg import connect_utils

from runwright.db.dsn import DsnError, read_dsn
from runwright.db.hosts import split_hosts


def understood(text: str) -> tuple[object, object, object, dict[str, str]]:
    """What asyncpg makes of it: hosts, user, database, and settings of the session."""
    addresses, parameters = connect_utils._parse_connect_dsn_and_args(  # type: ignore[attr-defined]  # noqa: SLF001
        dsn=read_dsn(text).dsn,
        **dict.fromkeys(
            (
                *(
                    "host",
                    "port",
                    "user",
                    "password",
                    "passfile",
                    "database",
                    "ssl",
                    "service",
                    "servicefile",
                ),
                *("direct_tls", "server_settings", "target_session_attrs", "krbsrvname", "gsslib"),
            )
        ),
    )
    return addresses, parameters.user, parameters.database, dict(parameters.server_settings or {})


@pytest.mark.parametrize(
    "options",
    [
        "sslmode=require",
        "sslmode=disable&connect_timeout=10&keepalives=1&keepalives_idle=30&keepalives_interval=10",
        "gssencmode=disable&load_balance_hosts=disable&target_session_attrs=any&channel_binding=prefer",
        "application_name=x&client_encoding=UTF8&tcp_user_timeout=1000&keepalives_count=3&sslsni=1",
        "pgbouncer=true&connect_timeout=",
    ],
)
def test_the_options_of_managed_services_are_understood(options: str) -> None:
    addresses, user, database, settings = understood(f"postgresql://ada:p%40ss@db.example:6432/app?{options}")
    assert (addresses, user, database, settings) == ([("db.example", 6432)], "ada", "app", {})


def test_keywords_are_the_same_as_a_url() -> None:
    addresses, user, database, settings = understood(
        r"host=a.example,b.example port=5433 user='ada' password='it\'s' dbname = 'my app' sslmode=disable"
    )
    assert addresses == [("a.example", 5433), ("b.example", 5433)]
    assert (user, database, settings) == ("ada", "my app", {})
    assert understood("host=/run/postgresql user=u dbname=d")[0] == ["/run/postgresql/.s.PGSQL.5432"]
    one, other = split_hosts(read_dsn("host=a,b user=u dbname=d").dsn)
    assert "target_session_attrs=primary" in one
    assert "host=b" in other


def test_the_embedded_address_stays_as_it_is() -> None:
    dsn = "postgresql:///runwright?host=%2Fvar%2Flib%2Fpg.socket&user=runwright"
    assert understood(dsn)[0] == ["/var/lib/pg.socket/.s.PGSQL.5432"]
    assert understood(dsn)[1:3] == ("runwright", "runwright")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("postgresql://db/app?colour=red", "there is no option 'colour'"),
        ("host=db colour=red", "there is no option 'colour'"),
        ("postgresql://db/app?gssencmode=require", "gssencmode=require is not supported"),
        ("postgresql://db/app?pgbouncer=perhaps", "pgbouncer is true or false"),
        ("postgresql://db/app?sslrootcert=system&sslmode=require", "needs sslmode=verify-full"),
        ("mysql://db/app", "has to begin with postgresql://"),
        ("just words", "neither a URL nor keywords"),
        ("host='open", "neither a URL nor keywords"),
        ("postgresql://[::1/app", "no valid URL"),
    ],
)
def test_what_is_wrong_is_one_line_without_the_password(text: str, message: str) -> None:
    with pytest.raises(DsnError, match=re.escape(message)) as caught:
        read_dsn(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("options", ["sslrootcert=system", "channel_binding=require&sslmode=require"])
def test_the_systems_authorities_verify_the_host(options: str) -> None:
    address = read_dsn(f"postgresql://db.example/app?{options}")
    assert address.tls is not None
    assert (address.tls.verify_mode, address.tls.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert "ssl" not in address.dsn


def test_channel_binding_with_authorities_of_ones_own_verifies_the_host() -> None:
    address = read_dsn("postgresql://db/app?sslrootcert=/own.pem&channel_binding=require&sslmode=require")
    assert address.tls is None
    assert "sslmode=verify-full" in address.dsn
    assert "sslrootcert=/own.pem" in address.dsn.replace("%2F", "/")


def test_a_pooler_may_be_named() -> None:
    assert read_dsn("postgresql://db/app?pgbouncer=true").pooled
    assert not read_dsn("postgresql://db/app").pooled
