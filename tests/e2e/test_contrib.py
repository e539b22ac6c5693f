"""The files of contrib/: what checks images, compose files, manifests and units accepts them, and they name real settings.

The checkers come from the package registry into a folder of their own (requirements/contrib.txt).
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
import yaml  # type: ignore[import-untyped]  # it has no stubs
from tests.releases import ROOT, uv

from runwright.config import Settings

CONTRIB: Final = ROOT / "contrib"
KUBERNETES: Final = CONTRIB / "kubernetes"
UNITS: Final = CONTRIB / "systemd"
VERSION: Final = "1.33"
_CHECK: Final = """
import json, sys, kubernetes_validate
for resource in json.load(sys.stdin):
    kubernetes_validate.validate(resource, sys.argv[1], strict=True)
"""
_COMPOSE: Final = (
    "import sys, compose_spec; print(*compose_spec.PyCompose.from_yaml(sys.stdin.read()).service_names())"
)


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the checkers."""
    folder = tmp_path_factory.mktemp("tools")
    lock = ROOT / "requirements" / "contrib.txt"
    install = ("pip", "install", "--quiet", "--python", sys.executable, "--target", str(folder))
    uv(*install, "--require-hashes", "--requirement", str(lock))
    return folder


def run(tools: Path, *command: str, text: str = "") -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(tools)}
    return subprocess.run(
        command, input=text, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def resources(path: Path) -> list[dict[str, Any]]:
    return [one for one in yaml.safe_load_all(path.read_text()) if one is not None]


def validated(tools: Path, found: list[dict[str, Any]]) -> subprocess.CompletedProcess[str]:
    return run(tools, sys.executable, "-c", _CHECK, VERSION, text=msgspec.json.encode(found).decode())


def all_resources() -> list[dict[str, Any]]:
    [settings] = resources(KUBERNETES / "kustomization.yaml")
    return [one for name in settings["resources"] for one in resources(KUBERNETES / name)]


def pods() -> dict[str, dict[str, Any]]:
    return {
        one["metadata"]["name"]: one["spec"]["template"]["spec"]
        for one in all_resources()
        if one["kind"] in {"Deployment", "Job"}
    }


@pytest.mark.registry
@pytest.mark.timeout(300)
def test_kubernetes_schemas_accept_every_manifest_and_refuse_a_wrong_field(tools: Path) -> None:
    found = [*all_resources(), *resources(KUBERNETES / "secret.example.yaml")]
    assert len(found) == 12
    done = validated(tools, found)
    assert done.returncode == 0, done.stderr
    [wrong] = [one for one in resources(KUBERNETES / "api.yaml") if one["kind"] == "Deployment"]
    wrong["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}
    assert "readinesProbe" in validated(tools, [wrong]).stderr


def test_every_role_is_deployed_with_probes_a_budget_and_secrets() -> None:
    found = all_resources()
    roles = [
        role
        for pod in pods().values()
        for role in pod["containers"][0]["args"][-1].split(",")
        if role != "migrate"
    ]
    assert sorted(roles) == sorted(Settings().roles)
    budgets = {
        tuple(one["spec"]["selector"]["matchLabels"].items())
        for one in found
        if one["kind"] == "PodDisruptionBudget"
    }
    deployments = [one for one in found if one["kind"] == "Deployment"]
    assert budgets == {tuple(one["spec"]["template"]["metadata"]["labels"].items()) for one in deployments}
    for deployment in deployments:
        assert deployment["spec"]["selector"]["matchLabels"] == deployment["metadata"]["labels"]
        pod = deployment["spec"]["template"]["spec"]
        [container] = pod["containers"]
        ports = {one["name"] for one in container["ports"]}
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            assert container[probe]["httpGet"]["port"] in ports
        # The drain has its time before the pod is killed.
        assert pod["terminationGracePeriodSeconds"] > Settings().drain_seconds + 15
        assert {"secretRef": {"name": "runwright"}} in container["envFrom"]


def test_only_executors_have_privileges() -> None:
    for name, pod in pods().items():
        [container] = pod["containers"]
        assert pod["automountServiceAccountToken"] is False
        if name == "runwright-executor":
            assert container["securityContext"] == {"privileged": True}
        else:
            assert pod["securityContext"]["runAsNonRoot"] is True
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert container["securityContext"]["allowPrivilegeEscalation"] is False


@pytest.mark.registry
@pytest.mark.timeout(300)
def test_the_image_and_the_compose_file_are_accepted(tools: Path) -> None:
    image = CONTRIB / "container" / "Containerfile"
    # Merged, as Compose does it: the checker takes no merge keys.
    compose = yaml.safe_dump(yaml.safe_load((CONTRIB / "container" / "compose.yaml").read_text()))
    linted = run(tools, str(tools / "bin" / "hadolint"), "--no-fail", "--format", "tty", str(image))
    assert (linted.returncode, linted.stdout) == (0, ""), linted.stderr
    wrong = run(tools, str(tools / "bin" / "hadolint"), "-", text="FROM debian\nRUN cd /x\n")
    assert "DL3003" in wrong.stdout
    read = run(tools, sys.executable, "-c", _COMPOSE, text=compose)
    assert sorted(read.stdout.split()) == ["api", "database", "executor", "migration"], read.stderr
    refused = run(
        tools, sys.executable, "-c", _COMPOSE, text=compose.replace("image: runwright", "imagee: x", 1)
    )
    assert "imagee" in refused.stderr


def test_what_compose_starts_is_defined_in_the_file() -> None:
    compose = yaml.safe_load((CONTRIB / "container" / "compose.yaml").read_text())
    services = compose["services"]
    assert sorted(services["executor"]["cap_add"]) == sorted(capabilities("runwright.service"))
    for service in services.values():
        assert set(service.get("secrets", [])) <= set(compose["secrets"])
        assert {one.partition(":")[0] for one in service.get("volumes", [])} <= set(compose["volumes"])
        assert set(service.get("depends_on", {})) <= set(services)


def capabilities(unit: str) -> list[str]:
    [line] = re.findall(r"^CapabilityBoundingSet=(.+)$", (UNITS / unit).read_text(), re.MULTILINE)
    return [name.removeprefix("CAP_") for name in line.split()]


def test_settings_that_the_files_name_exist() -> None:
    names = {f"RUNWRIGHT_{name.upper()}" for name in Settings.__struct_fields__}
    for path in CONTRIB.rglob("*"):
        if path.is_file():
            assert set(re.findall(r"RUNWRIGHT_[A-Z_]+", path.read_text())) <= names, path


@pytest.mark.timeout(120)
def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("this host lacks systemd-analyze")
    for name in ("runwright.service", "runwright@.service"):
        # What it starts has to exist for the check.
        text = (UNITS / name).read_text().replace("/opt/runwright/bin/runwright", sys.executable)
        (tmp_path / name.replace("@.", "@api.")).write_text(text)
    dropin = tmp_path / "runwright@api.service.d"
    dropin.mkdir()
    shutil.copy(UNITS / "no-sandboxes.conf", dropin)
    for unit in ("runwright.service", "runwright@api.service"):
        done = run(tmp_path, "systemd-analyze", "verify", "--man=no", str(tmp_path / unit))
        complaints = [line for line in done.stderr.splitlines() if "runwright" in line]
        assert (done.returncode, complaints) == (0, []), done.stderr
    (tmp_path / "runwright.service").write_text("[Service]\nExecStart=/bin/true\nNoNewPrivilege=yes\n")
    wrong = run(tmp_path, "systemd-analyze", "verify", "--man=no", str(tmp_path / "runwright.service"))
    assert "NoNewPrivilege" in wrong.stderr
