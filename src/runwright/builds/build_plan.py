"""What each package manager does inside the build sandbox."""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Final

import msgspec

from runwright.builds.package_managers import PackageManager

BUILD_FOLDER: Final = "/build"
"""The writable folder of a build sandbox."""
TOOLS: Final = "/tools"
BUNDLE: Final = "/app/code"
_IN: Final = f"{BUILD_FOLDER}/in"
_OUT: Final = f"{BUILD_FOLDER}/out"
_TMP: Final = f"{BUILD_FOLDER}/tmp"  # noqa: S108  inside the sandbox
_CA: Final = f"{TOOLS}/ca.pem"
_RETRIES: Final = "2"
_NAME_SKIPPED_SCRIPTS: Final = """
const { packages } = JSON.parse(require('fs').readFileSync('node_modules/.package-lock.json', 'utf8'))
for (const [path, one] of Object.entries(packages)) {
  if (one.hasInstallScript) {
    const name = path.replace(/^.*node_modules\\//, '')
    console.log(`runwright: the install script of ${name} was not run; without it the package may not load`)
  }
}
"""
"""Names the packages that npm knows to have an install script."""


class BuildPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What the build sandbox does; all paths are inside it."""

    files: dict[str, str]
    """Files to write first, by path."""
    folders: list[str]
    commands: list[list[str]]
    """Commands to run in order; the first failure ends the build."""
    extras: list[list[str]] = []
    """Commands to run afterwards, whose failure is ignored."""
    env: dict[str, str]
    cwd: str
    result: dict[str, str]
    """Folders to return, by their names in the result."""


def make_plan(
    manager: PackageManager, *, files: Mapping[str, str], bundle: str | None, entrypoint: str
) -> tuple[BuildPlan, dict[str, str]]:
    """Return the plan, and its mounts: paths of the host by their paths inside.

    `files` are the manifests, or `bundle` the folder with all of a version's files.
    """
    make = {"python": _python, "nodejs": _nodejs, "deno": _deno}[manager.runtime]
    plan, mounts = make(manager, sorted(files), bundle, entrypoint)
    written = {f"{_IN}/{path}": content for path, content in files.items()}
    if manager.ca_file is not None:
        mounts[_CA] = manager.ca_file
    env = {**_environment(manager), **plan.env}
    folders = [_TMP, f"{BUILD_FOLDER}/home", _IN, _OUT]
    return BuildPlan(
        files=written,
        folders=folders,
        commands=plan.commands,
        extras=plan.extras,
        env=env,
        cwd=plan.cwd,
        result=plan.result,
    ), mounts


def _plan(commands: list[list[str]], env: dict[str, str], result: dict[str, str], **rest: str) -> BuildPlan:
    return BuildPlan(
        files={}, folders=[], commands=commands, env=env, result=result, cwd=rest.get("cwd", _IN)
    )


def _environment(manager: PackageManager) -> dict[str, str]:
    env = {
        "PATH": f"{PurePosixPath(manager.interpreter.path).parent}:/usr/local/bin:/usr/bin:/bin",
        "HOME": f"{BUILD_FOLDER}/home",
        "TMPDIR": _TMP,
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "NO_COLOR": "1",
        "CI": "1",
    }
    if manager.ca_file is not None:
        env |= dict.fromkeys(("SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "DENO_CERT"), _CA)
    return env


def _python(
    manager: PackageManager, files: list[str], _bundle: str | None, _entry: str
) -> tuple[BuildPlan, dict[str, str]]:
    """Install wheels only, unless packages' code may run: building a source distribution runs it."""
    target = f"{_OUT}/python"
    install = [f"{TOOLS}/uv", "pip", "install", "--target", target, "--python", manager.interpreter.path]
    install += [] if manager.scripts else ["--no-build"]
    for name in ("requirements.txt", "script-requirements.txt"):
        install += ["--requirements", name] if name in files else []
    # Byte code is compiled here, with its final paths, because a layer is read-only later.
    compile_all = [manager.interpreter.path, "-I", "-S", "-m", "compileall", "-q", "-j", "1"]
    compile_all += ["-s", _OUT, "-p", "/app", "--invalidation-mode", "unchecked-hash", target]
    env = {
        "UV_DEFAULT_INDEX": manager.registry.url,
        "UV_NO_CONFIG": "1",
        "UV_NO_SOURCES": "1",
        "UV_NO_PROGRESS": "1",
        "UV_NO_PYTHON_DOWNLOADS": "1",
        "UV_CACHE_DIR": f"{BUILD_FOLDER}/cache",
        "UV_LINK_MODE": "hardlink",
        "UV_HTTP_RETRIES": _RETRIES,
    }
    plan = _plan([install], env, {"python": target})
    plan.extras.append(compile_all)
    mounts = {path: path for path in manager.interpreter.mounts}
    return plan, {f"{TOOLS}/uv": manager.path, **mounts}


def _nodejs(
    manager: PackageManager, files: list[str], _bundle: str | None, _entry: str
) -> tuple[BuildPlan, dict[str, str]]:
    verb = "ci" if "package-lock.json" in files else "install"
    install = [manager.interpreter.path, f"{TOOLS}/npm/bin/npm-cli.js", verb, "--omit=dev"]
    install += ["--no-audit", "--no-fund", "--no-progress", "--loglevel=http", "--no-update-notifier"]
    install += [] if manager.scripts else ["--ignore-scripts"]
    env = {
        "npm_config_registry": manager.registry.url,
        "npm_config_cache": f"{BUILD_FOLDER}/cache",
        "npm_config_userconfig": f"{BUILD_FOLDER}/home/user.npmrc",
        "npm_config_globalconfig": f"{BUILD_FOLDER}/home/global.npmrc",
        "npm_config_fetch_retries": _RETRIES,
        "npm_config_fetch_retry_mintimeout": "500",
        "npm_config_maxsockets": "8",
    }
    if manager.ca_file is not None:
        env["npm_config_cafile"] = _CA
    mounts = {f"{TOOLS}/npm": manager.path} | {path: path for path in manager.interpreter.mounts}
    plan = _plan([install], env, {"node_modules": f"{_IN}/node_modules"})
    if not manager.scripts:
        plan.extras.append([manager.interpreter.path, "-e", _NAME_SKIPPED_SCRIPTS])
    return plan, mounts


def _deno(
    manager: PackageManager, _files: list[str], bundle: str | None, entry: str
) -> tuple[BuildPlan, dict[str, str]]:
    """Fetch the module graph with the flags of the sandbox that will run it; none of its code is run."""
    if bundle is None:
        raise ValueError("a deno build needs the bundle")
    lock = Path(bundle, "deno.lock").is_file()
    locking = ["--frozen", f"--lock={BUNDLE}/deno.lock"] if lock else ["--no-lock"]
    config = [f"--config={BUNDLE}/deno.json"] if Path(bundle, "deno.json").is_file() else ["--no-config"]
    none = "false" if manager.interpreter.line == "1" else "none"
    fetch = [f"{TOOLS}/deno", "cache", *config, f"--node-modules-dir={none}", *locking, f"{BUNDLE}/{entry}"]
    env = {
        "DENO_DIR": f"{_OUT}/deno",
        "DENO_NO_UPDATE_CHECK": "1",
        "DENO_NO_PROMPT": "1",
        "NPM_CONFIG_REGISTRY": manager.registry.url,
    }
    mounts = {f"{TOOLS}/deno": manager.path, BUNDLE: bundle}
    plan = _plan([fetch], env, {"deno": f"{_OUT}/deno"}, cwd=BUNDLE)
    # The analysis caches are useless in a read-only layer.
    plan.extras.append(["/bin/sh", "-c", f"rm -f {_OUT}/deno/*_cache_v*"])
    return plan, mounts
