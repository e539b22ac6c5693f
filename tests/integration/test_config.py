"""Settings: which source wins, that every mistake is named, and that secrets do not show."""

import tomllib
from importlib import resources
from pathlib import Path

import pytest

from runwright.config import (
    FIELDS,
    ConfigError,
    Settings,
    default_data_dir,
    default_file,
    load_settings,
    shown_value,
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "runwright.toml"


def problems_of(
    flags: dict[str, str | bool | None] | None = None,
    environment: dict[str, str] | None = None,
    config_path: Path | None = None,
) -> str:
    with pytest.raises(ConfigError) as caught:
        load_settings(flags or {}, environment or {}, config_path)
    return str(caught.value)


def test_flag_beats_environment_beats_file_beats_default(file: Path) -> None:
    file.write_text('port = 1\nhost = "from.file"\nlog_level = "error"\n')
    environment = {"RUNWRIGHT_PORT": "2", "RUNWRIGHT_HOST": "from.env"}
    settings = load_settings({"port": "3", "dev": None}, environment, file)
    assert (settings.port, settings.host, settings.log_level) == (3, "from.env", "error")
    assert settings.executor_slots == Settings().executor_slots
    assert settings.sources == {
        "port": "flag --port",
        "host": "env RUNWRIGHT_HOST",
        "log_level": f"file {file}",
    }


def test_the_file_can_be_named_in_the_environment(file: Path) -> None:
    file.write_text("port = 1")
    assert load_settings({}, {"RUNWRIGHT_CONFIG": str(file)}).port == 1


def test_text_is_read_as_the_type_of_its_setting() -> None:
    environment = {
        "RUNWRIGHT_DEV": "1",
        "RUNWRIGHT_LEASE_SECONDS": "7.5",
        "RUNWRIGHT_ROLES": "api, executor",
        "RUNWRIGHT_DATA_DIR": "~/data",
        "RUNWRIGHT_DATABASE_URL": "",
    }
    settings = load_settings({"demo": True}, environment)
    assert (settings.dev, settings.demo, settings.lease_seconds) == (True, True, 7.5)
    assert settings.roles == ("api", "executor")
    assert settings.data_dir == Path.home() / "data"
    assert settings.database_url is None


def test_all_problems_are_told_at_once_with_name_and_source(file: Path) -> None:
    file.write_text('executor_slots = "many"\nlog_level = "loud"')
    told = problems_of({"port": "x"}, {"RUNWRIGHT_DEV": "maybe", "RUNWRIGHT_ROLES": "api,cook"}, file)
    for part in (
        f"executor_slots (file {file})",
        "log_level (file",
        "debug, info, warning, error",
        "port (flag --port)",
        "dev (env RUNWRIGHT_DEV)",
        "roles (env RUNWRIGHT_ROLES)",
        "cook",
    ):
        assert part in told


@pytest.mark.parametrize(("wrong", "meant"), [("prot", "port"), ("excutor_slots", "executor_slots")])
def test_an_unknown_name_is_refused_with_the_one_that_was_meant(file: Path, wrong: str, meant: str) -> None:
    file.write_text(f"{wrong} = 1")
    assert f"Did you mean {meant}?" in problems_of(config_path=file)
    assert f"Did you mean {meant}?" in problems_of(environment={f"RUNWRIGHT_{wrong.upper()}": "1"})


def test_variables_of_others_are_left_alone() -> None:
    assert load_settings({}, {"PORT": "x", "RUNWRIGHTX_PORT": "y"}) == Settings()


@pytest.mark.parametrize("text", ["port = ", "\x00", "[port]\nx = 1"])
def test_a_file_that_cannot_be_read_is_named(file: Path, text: str) -> None:
    file.write_text(text)
    told = problems_of(config_path=file)
    assert str(file) in told


def test_a_missing_file_is_named(file: Path) -> None:
    assert str(file) in problems_of(config_path=file)


@pytest.mark.parametrize(
    "line",
    [
        "port = 65536",
        "executor_slots = 0",
        "lease_seconds = nan",
        "lease_seconds = inf",
        "drain_seconds = -1",
        "executor_slots = true",
        'port = "80"',
        "roles = []",
        'platform_key = "two words"',
    ],
)
def test_values_out_of_bounds_are_refused_by_name(file: Path, line: str) -> None:
    file.write_text(line)
    assert problems_of(config_path=file).startswith(line.split(maxsplit=1)[0])


def test_a_heartbeat_too_slow_for_its_lease_is_refused() -> None:
    assert "heartbeat_seconds" in problems_of({"lease_seconds": "5"})


def test_secrets_do_not_show() -> None:
    """Not even a prefix, neither where settings are shown nor where they are logged by mistake."""
    key, url = "rwk_super-secret-value", "postgresql://u:password@h/d"
    settings = load_settings({"platform_key": key, "database_url": url}, {})
    assert settings.platform_key == key
    shown = [shown_value(settings, name) for name in FIELDS] + [repr(settings)]
    assert not [text for text in shown if "rwk" in text or "password" in text or "postgresql" in text]


def test_a_wrong_secret_is_not_repeated_in_the_error() -> None:
    assert "hunter2" not in problems_of({"platform_key": "hunter2 hunter2"})


def test_the_shipped_file_documents_exactly_the_defaults() -> None:
    """`config.default.toml` is the documentation of the configuration."""
    shipped = (resources.files("runwright") / "config.default.toml").read_text()
    assert shipped == default_file()
    values = tomllib.loads(shipped)
    settings = Settings()
    for name in FIELDS:
        assert f"\n{name} = " in shipped or f"\n# {name} = " in shipped
        if name in values:
            value = tuple(values[name]) if isinstance(values[name], list) else values[name]
            assert value == getattr(settings, name)


def test_every_setting_says_what_it_means() -> None:
    assert not [line for line in default_file().splitlines() if line.startswith("# ") and line[2:] in FIELDS]


def test_data_lives_where_the_user_keeps_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    assert default_data_dir() == Path("/home/ada/.local/share/runwright")
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert default_data_dir() == Path("/data/runwright")
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert default_data_dir() == Path("/var/lib/runwright")


def test_lists_in_the_environment_are_separated_by_commas() -> None:
    environment = {"RUNWRIGHT_EGRESS_PORTS": "80, 443", "RUNWRIGHT_EGRESS_TRUSTED": "db.corp:5432,10.0.0.0/8"}
    settings = load_settings({}, environment)
    assert settings.egress_ports == (80, 443)
    assert settings.egress_trusted == ("db.corp:5432", "10.0.0.0/8")
    assert shown_value(settings, "egress_ports") == "80,443"


def test_a_trusted_entry_or_port_that_is_none_is_named() -> None:
    with pytest.raises(ConfigError, match=r"egress_trusted: '10.0.0.1/8' is not a network"):
        load_settings({}, {"RUNWRIGHT_EGRESS_TRUSTED": "10.0.0.1/8,a"})
    with pytest.raises(ConfigError, match="egress_ports"):
        load_settings({}, {"RUNWRIGHT_EGRESS_PORTS": "0"})
