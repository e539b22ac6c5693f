"""Registries come from the operator's settings, else from the package managers."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
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
from tests.receiver import make_certificate, server_tls


@pytest.fixture(scope="module")
def registry() -> Iterator[LocalRegistry]:
    with local_registry() as registry:
        registry.add_wheel("pip", "1.0", "")
        yield registry


@pytest.fixture
def here(registry: LocalRegistry) -> str:
    """The URL of the index for uv on this host."""
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
    ("url", "expected"),
    [
        ("https://Index.Example/simple", HostPort("index.example", 443)),
        ("http://index.example:8081/", HostPort("index.example", 8081)),
        ("https://[fd00::1]:4443/x", HostPort("fd00::1", 4443)),
    ],
)
def test_a_url_has_a_host_and_a_port(url: str, expected: HostPort) -> None:
    assert host_port(url) == expected


@pytest.mark.parametrize(
    "url",
    ["ftp://index.example", "index.example", "https://", "https://x:99999/", "https://u:p@index.example/"],
)
def test_an_invalid_url_is_refused_without_repeating_its_password(url: str) -> None:
    with pytest.raises(RegistryError) as caught:
        host_port(url)
    assert "u:p" not in str(caught.value)
    assert url.strip("/") not in str(caught.value)


def test_hosts_may_have_a_port() -> None:
    assert parse_hosts(("files.example", "files.example:8443")) == (
        HostPort("files.example", 443),
        HostPort("files.example", 8443),
    )


def test_the_setting_has_priority_and_the_hosts_of_files_are_found(
    here: str, registry: LocalRegistry, tmp_path: Path
) -> None:
    found = python_registry(uv.find_uv_bin(), configured=here, hosts=("store.example",), home=tmp_path)
    assert found.url == here
    assert found.hosts == (HostPort("127.0.0.1", registry.port), HostPort("store.example", 443))
    assert registry.asked["/simple/pip/"]


def test_a_host_with_only_the_files_of_an_index_is_found(tmp_path: Path) -> None:
    with local_registry() as store, local_registry() as index:
        store.add_wheel("pip", "1.0", "")
        index.add_page(
            "/simple/pip/",
            f'<a href="http://127.0.0.1:{store.port}/files/pip-1.0-py3-none-any.whl">pip-1.0-py3-none-any.whl</a>',
        )
        url = f"http://127.0.0.1:{index.port}/simple"
        found = python_registry(uv.find_uv_bin(), configured=url, hosts=(), home=tmp_path)
    assert set(found.hosts) == {HostPort("127.0.0.1", index.port), HostPort("127.0.0.1", store.port)}


@pytest.mark.parametrize("trusted", [True, False])
def test_an_index_whose_certificate_only_the_system_knows_is_asked_for_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trusted: bool
) -> None:
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    certificate = make_certificate(tmp_path, "127.0.0.1", authority=False)
    with local_registry(tls=server_tls(certificate)) as index:
        index.add_wheel("pip", "1.0", "")
        found = python_registry(
            uv.find_uv_bin(),
            configured=f"https://127.0.0.1:{index.port}/simple",
            hosts=(),
            home=tmp_path,
            ca_file=str(certificate) if trusted else None,
        )
    assert found.complete is trusted


def test_the_environment_and_configuration_files_are_used(
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


def test_without_configuration_the_default_of_uv_is_used(tmp_path: Path) -> None:
    """The default is found although it cannot be reached."""
    found = python_registry(uv.find_uv_bin(), configured=None, hosts=(), home=tmp_path)
    assert found.url.startswith("https://")
    assert host_port(found.url) in found.hosts


def test_the_registries_of_npm_and_of_lock_files_are_found(
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


def test_without_node_the_setting_names_denos_npm_registry(host: Host) -> None:
    alone = msgspec.structs.replace(host, interpreters={"deno": host.interpreters["deno"]})
    sources = DependencySources(npm_registry="https://mirror.example/npm/")
    found = PackageManagers(alone, sources).find("deno").registry
    assert (found.url, found.hosts) == (sources.npm_registry, (HostPort("mirror.example", 443),))
    with pytest.raises(RegistryError, match=r"set npm_registry, or install runwright\[nodejs\]"):
        PackageManagers(alone, DependencySources()).find("deno")


def test_an_index_that_does_not_answer_is_asked_again(host: Host) -> None:
    """Otherwise the hosts of its files could not be reached until the server restarts."""
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


def test_a_package_manager_that_fails_is_an_error_of_the_host(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="false does not answer"):
        python_registry("/bin/false", configured=None, hosts=(), home=tmp_path)
