"""Where dependencies come from is the operator's word, else what the tools themselves say."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import uv

from runwright.builds.errors import RegistryError
from runwright.builds.package_managers import DependencySources, PackageManagers
from runwright.builds.registries import (
    HostPort,
    deno_registry,
    host_port,
    parse_hosts,
    python_registry,
)
from runwright.runtimes.host import Host
from tests.integration.loops.registry import LocalRegistry, local_registry


@pytest.fixture(scope="module")
def registry() -> Iterator[LocalRegistry]:
    with local_registry() as registry:
        registry.add_wheel("pip", "1.0", "")
        yield registry


@pytest.fixture
def here(registry: LocalRegistry) -> str:
    """The index by an address that uv on this host can reach."""
    return f"http://127.0.0.1:{registry.port}/simple"


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "UV_DEFAULT_INDEX",
        "UV_INDEX_URL",
        "PIP_INDEX_URL",
        "PIP_CONFIG_FILE",
        "XDG_CONFIG_HOME",
        "JSR_URL",
    ):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("https://Index.Example/simple", HostPort("index.example", 443)),
        ("http://index.example:8081/", HostPort("index.example", 8081)),
        ("https://[fd00::1]:4443/x", HostPort("fd00::1", 4443)),
    ],
)
def test_a_url_is_a_place(url: str, place: HostPort) -> None:
    assert host_port(url) == place


@pytest.mark.parametrize(
    "url",
    ["ftp://index.example", "index.example", "https://", "https://x:99999/", "https://u:p@index.example/"],
)
def test_what_is_no_place_is_refused_without_telling_a_password(url: str) -> None:
    with pytest.raises(RegistryError) as caught:
        host_port(url)
    assert "u:p" not in str(caught.value)
    assert url.strip("/") not in str(caught.value)


def test_hosts_may_have_a_port() -> None:
    assert parse_hosts(("files.example", "files.example:8443")) == (
        HostPort("files.example", 443),
        HostPort("files.example", 8443),
    )


def test_the_setting_wins_and_the_index_says_where_its_files_are(
    here: str, registry: LocalRegistry, tmp_path: Path
) -> None:
    found = python_registry(uv.find_uv_bin(), configured=here, hosts=("store.example",), home=tmp_path)
    assert found.url == here
    assert found.hosts == (HostPort("127.0.0.1", registry.port), HostPort("store.example", 443))
    assert registry.asked["/simple/pip/"]


def test_an_index_whose_files_are_elsewhere_is_followed_there(tmp_path: Path) -> None:
    with local_registry() as store, local_registry() as index:
        store.add_wheel("pip", "1.0", "")
        index.add_page(
            "/simple/pip/",
            f'<a href="http://127.0.0.1:{store.port}/files/pip-1.0-py3-none-any.whl">pip-1.0-py3-none-any.whl</a>',
        )
        url = f"http://127.0.0.1:{index.port}/simple"
        found = python_registry(uv.find_uv_bin(), configured=url, hosts=(), home=tmp_path)
    assert set(found.hosts) == {HostPort("127.0.0.1", index.port), HostPort("127.0.0.1", store.port)}


def test_environment_and_files_of_the_tools_are_honoured(
    here: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found() -> str:
        return python_registry(uv.find_uv_bin(), configured=None, hosts=(), home=tmp_path).url

    pip = tmp_path / ".config" / "pip" / "pip.conf"
    pip.parent.mkdir(parents=True)
    pip.write_text(f"[global]\nindex-url = {here}/pip\n")
    assert found() == f"{here}/pip"
    own = tmp_path / ".config" / "uv" / "uv.toml"
    own.parent.mkdir(parents=True)
    own.write_text(f'[[index]]\nurl = "{here}/uv"\ndefault = true\n')
    assert found() == f"{here}/uv"
    monkeypatch.setenv("PIP_INDEX_URL", f"{here}/pip-env")
    assert found() == f"{here}/pip-env"
    monkeypatch.setenv("UV_DEFAULT_INDEX", f"{here}/uv-env")
    assert found() == f"{here}/uv-env"


def test_credentials_of_an_index_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="mirror"):
        python_registry(
            uv.find_uv_bin(), configured="https://me:secret@x.example/simple", hosts=(), home=tmp_path
        )


def test_without_a_word_from_anybody_uv_names_its_default(tmp_path: Path) -> None:
    """An index that is not reached is learned all the same."""
    found = python_registry(uv.find_uv_bin(), configured=None, hosts=(), home=tmp_path)
    assert found.url.startswith("https://")
    assert host_port(found.url) in found.hosts


def test_npm_says_its_registry_and_the_one_that_lock_files_name(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    toolbox = PackageManagers(host, DependencySources())
    default = toolbox.find("nodejs").registry
    assert default.url.startswith("https://")
    monkeypatch.setenv("npm_config_registry", "https://mirror.example/npm/")
    tool = PackageManagers(host, DependencySources(dependency_hosts=("store.example",))).find("nodejs")
    assert tool.registry.url == "https://mirror.example/npm/"
    assert set(tool.registry.hosts) == {HostPort("mirror.example", 443), HostPort("store.example", 443)}
    assert tool.registry.lock_hosts == default.hosts
    assert tool.allows_url(f"{default.url}x/-/x-1.tgz")
    assert tool.allows_url("https://store.example/x")
    assert not tool.allows_url("https://evil.example/x")
    assert not tool.allows_url("nonsense")


def test_deno_reaches_npm_and_the_hosts_that_it_imports_from(host: Host) -> None:
    npm = (
        PackageManagers(host, DependencySources(npm_registry="https://mirror.example/npm/"))
        .find("nodejs")
        .registry
    )
    found = deno_registry(host.interpreters["deno"].path, npm=npm, hosts=("esm.example:8443",))
    assert set(found.hosts) == {HostPort("mirror.example", 443), HostPort("esm.example", 8443)}
    assert found.public_hosts, "deno's own list of hosts to import from"
    assert not set(found.public_hosts) & set(found.hosts)


def test_an_index_that_does_not_answer_is_asked_again(host: Host) -> None:
    """Else its file store would be out of reach until the server is started again."""
    with local_registry() as index:
        toolbox = PackageManagers(
            host, DependencySources(python_index=f"http://127.0.0.1:{index.port}/simple")
        )
        assert not toolbox.find("python").registry.complete
        index.add_wheel("pip", "1.0", "")
        assert toolbox.find("python").registry.complete
        asked = index.asked["/simple/pip/"]
        toolbox.find("python")
        assert index.asked["/simple/pip/"] == asked


def test_a_tool_that_does_not_answer_is_an_error_of_the_host(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="false does not answer"):
        python_registry("/bin/false", configured=None, hosts=(), home=tmp_path)
