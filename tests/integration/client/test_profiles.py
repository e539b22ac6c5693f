"""The file of profiles, and which server a client takes."""

import stat
import threading
from pathlib import Path

import pytest

from runwright import Runwright
from runwright.client import Profile, Profiles, SetupError
from runwright.client.profiles import default_path
from runwright.client.session import Credentials
from runwright.client.targets import data_dir, explicit_target, profile_target
from runwright.config import default_data_dir
from runwright.http.address_record import recorded_address

PROD = Profile(url="https://prod.example/", api_key="prod-key", tenant="ten_acme", protected=True)
LAB = Profile(url="https://lab.example", api_key="lab-key")


@pytest.fixture
def profiles(tmp_path: Path) -> Profiles:
    return Profiles(tmp_path / "config" / "profiles.toml")


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("URL", "API_KEY", "KEY", "PROFILE", "TENANT"):
        monkeypatch.delenv(f"RUNWRIGHT_{name}", raising=False)
    monkeypatch.setenv("RUNWRIGHT_DATA_DIR", str(tmp_path / "no-data"))


def test_what_is_saved_is_read_by_its_owner_only(profiles: Profiles) -> None:
    profiles.save("prod", PROD, use=True)
    profiles.save("lab", LAB)
    again = Profiles(profiles.path)
    assert again.all() == {"prod": PROD, "lab": LAB}
    assert again.current() == "prod"
    assert stat.S_IMODE(profiles.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(profiles.path.parent.stat().st_mode) == 0o700
    assert "prod-key" not in repr(PROD)


def test_a_file_that_others_could_read_is_closed_when_it_is_written(profiles: Profiles) -> None:
    profiles.save("prod", PROD)
    profiles.path.chmod(0o644)
    profiles.use("prod")
    assert stat.S_IMODE(profiles.path.stat().st_mode) == 0o600


def test_comments_and_unknown_keys_are_kept_and_cleared_fields_removed(profiles: Profiles) -> None:
    profiles.path.parent.mkdir()
    profiles.path.write_text(
        '# mine\ncolour = "blue"\n[profiles.lab] # the lab\nurl = "https://old"\ntenant = "t"\n'
    )
    profiles.save("lab", LAB)
    assert profiles.path.read_text() == (
        '# mine\ncolour = "blue"\n[profiles.lab] # the lab\nurl = "https://lab.example"\napi_key = "lab-key"\n'
    )


def test_removing_the_current_profile_leaves_none(profiles: Profiles) -> None:
    profiles.save("prod", PROD, use=True)
    profiles.remove("prod")
    assert (profiles.all(), profiles.current()) == ({}, None)


def test_writers_take_turns(profiles: Profiles) -> None:
    writers = [threading.Thread(target=profiles.save, args=(f"p{n}", LAB)) for n in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert set(profiles.all()) == {f"p{n}" for n in range(8)}
    assert {one.name for one in profiles.path.parent.iterdir()} == {"profiles.toml", "profiles.lock"}


@pytest.mark.parametrize(
    "text",
    [
        "profiles = 1",
        "not toml",
        "[profiles.lab]\ntenant = 'no url'",
        "[profiles.lab]\nurl = 5",
        "\x00",
    ],
)
def test_a_malformed_file_is_named_and_never_overwritten(profiles: Profiles, text: str) -> None:
    profiles.path.parent.mkdir()
    profiles.path.write_text(text)
    with pytest.raises(SetupError, match=r"profiles\.toml"):
        profiles.all()
    with pytest.raises(SetupError, match=r"profiles\.toml"):
        profiles.use("lab")
    assert profiles.path.read_text() == text


@pytest.mark.parametrize("name", ["", "a b", "-x", "../x", "a" * 65])
def test_a_name_is_one_word(profiles: Profiles, name: str) -> None:
    with pytest.raises(SetupError, match="name of a profile"):
        profiles.save(name, LAB)
    assert not profiles.path.exists()


def test_an_unknown_profile_is_refused_with_those_that_exist(profiles: Profiles) -> None:
    profiles.save("prod", PROD)
    with pytest.raises(SetupError, match="'prdo'; there are: prod"):
        profile_target("prdo", profiles=profiles)


def chosen(profiles: Profiles, name: str | None = None, **environment: str) -> tuple[str, str | None]:
    given = {f"RUNWRIGHT_{key}": value for key, value in environment.items()}
    target = profile_target(name, environment=given, profiles=profiles)
    return target.url, target.credentials.api_key


def test_a_named_profile_comes_first_then_the_environment_then_the_current_one(profiles: Profiles) -> None:
    profiles.save("prod", PROD, use=True)
    profiles.save("lab", LAB)
    prod, lab = ("https://prod.example", "prod-key"), ("https://lab.example", "lab-key")
    assert chosen(profiles) == prod
    assert chosen(profiles, "lab", URL="https://else.example", API_KEY="k", PROFILE="prod") == lab
    assert chosen(profiles, PROFILE="lab", URL="https://else.example") == lab
    assert chosen(profiles, URL="https://else.example", API_KEY="k") == ("https://else.example", "k")
    assert chosen(profiles, API_KEY="k") == ("https://prod.example", "k")


def test_the_key_of_a_profile_goes_to_its_own_address_only(profiles: Profiles) -> None:
    profiles.save("prod", PROD, use=True)
    assert chosen(profiles, URL="https://else.example") == ("https://else.example", None)
    assert chosen(profiles, URL="https://prod.example") == ("https://prod.example", "prod-key")


def test_the_key_in_the_data_directory_goes_to_its_own_server_only(
    profiles: Profiles, tmp_path: Path
) -> None:
    (tmp_path / "platform-key").write_text("local-key\n")
    data = {"DATA_DIR": str(tmp_path)}
    assert chosen(profiles, **data) == ("http://127.0.0.1:8080", "local-key")
    assert chosen(profiles, **data, URL="http://localhost:9000") == ("http://localhost:9000", None)
    with recorded_address(tmp_path, "http://127.0.0.1:9000"):
        assert chosen(profiles, **data, URL="http://localhost:9000") == ("http://localhost:9000", "local-key")
        assert chosen(profiles, **data) == ("http://127.0.0.1:9000", "local-key")
        assert chosen(profiles, **data, URL="http://localhost:8080") == ("http://localhost:8080", None)
        for foreign in ("http://192.0.2.1:9000", "http://localhost.example:9000", "https://localhost"):
            assert chosen(profiles, **data, URL=foreign) == (foreign, None)
    with recorded_address(tmp_path, "http://0.0.0.0:9000"):
        assert chosen(profiles, **data) == ("http://127.0.0.1:9000", "local-key")
    assert chosen(profiles, **data, URL="http://localhost:9000") == ("http://localhost:9000", None)
    target = profile_target(environment={"RUNWRIGHT_DATA_DIR": str(tmp_path)}, profiles=profiles)
    assert target.credentials.tenant == "default"
    assert target.credentials.user
    assert target.credentials.role == "platform-admin"


def test_a_server_without_a_data_directory_notes_no_address(tmp_path: Path) -> None:
    with recorded_address(tmp_path / "missing", "http://127.0.0.1:9000"):
        assert not (tmp_path / "missing").exists()


def test_arguments_come_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNWRIGHT_URL", "https://env.example")
    monkeypatch.setenv("RUNWRIGHT_API_KEY", "env-key")
    monkeypatch.setenv("RUNWRIGHT_TENANT", "ten_env")
    assert repr(Runwright()) == "<Runwright https://env.example ten_env>"
    assert repr(Runwright("https://x.example", tenant="ten_x")) == "<Runwright https://x.example ten_x>"


def test_a_client_of_a_profile(profiles: Profiles) -> None:
    profiles.save("prod", PROD, use=True)
    rw = Runwright.from_profile(profiles=profiles)
    assert (rw.url, rw.tenant, rw.profile) == ("https://prod.example", "ten_acme", "prod")
    assert "prod-key" not in repr(explicit_target("https://x.example", Credentials(api_key="prod-key")))


def test_places_are_those_of_the_server_and_of_the_platform(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("RUNWRIGHT_DATA_DIR")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert data_dir() == default_data_dir()
    assert default_path() == tmp_path / "runwright" / "profiles.toml"
