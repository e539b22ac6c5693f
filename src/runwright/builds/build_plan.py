"""What each tool is told to do inside the workshop."""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Final

from runwright.builds.build_sandbox import BUILD_FOLDER, Order
from runwright.builds.package_managers import Tool

TOOLS: Final = "/tools"
BUNDLE: Final = "/app/code"
_IN: Final = f"{BUILD_FOLDER}/in"
_OUT: Final = f"{BUILD_FOLDER}/out"
_TMP: Final = f"{BUILD_FOLDER}/tmp"  # noqa: S108  inside the sandbox
_CA: Final = f"{TOOLS}/ca.pem"
_RETRIES: Final = "2"


def make_order(
    tool: Tool, *, files: Mapping[str, str], bundle: str | None, entrypoint: str
) -> tuple[Order, dict[str, str]]:
    """Return the order, and what it needs to see: paths inside, and on the host.

    `files` are the manifests, or `bundle` the folder with all of a version's files.
    """
    make = {"python": _python, "nodejs": _nodejs, "deno": _deno}[tool.runtime]
    order, mounts = make(tool, sorted(files), bundle, entrypoint)
    written = {f"{_IN}/{path}": content for path, content in files.items()}
    if tool.ca_file is not None:
        mounts[_CA] = tool.ca_file
    env = {**_environment(tool), **order.env}
    folders = [_TMP, f"{BUILD_FOLDER}/home", _IN, _OUT]
    return Order(
        files=written,
        folders=folders,
        commands=order.commands,
        extras=order.extras,
        env=env,
        cwd=order.cwd,
        result=order.result,
    ), mounts


def _order(commands: list[list[str]], env: dict[str, str], result: dict[str, str], **rest: str) -> Order:
    return Order(files={}, folders=[], commands=commands, env=env, result=result, cwd=rest.get("cwd", _IN))


def _environment(tool: Tool) -> dict[str, str]:
    env = {
        "PATH": f"{PurePosixPath(tool.interpreter.path).parent}:/usr/local/bin:/usr/bin:/bin",
        "HOME": f"{BUILD_FOLDER}/home",
        "TMPDIR": _TMP,
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "NO_COLOR": "1",
        "CI": "1",
    }
    if tool.ca_file is not None:
        env |= dict.fromkeys(("SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "DENO_CERT"), _CA)
    return env


def _python(tool: Tool, files: list[str], _bundle: str | None, _entry: str) -> tuple[Order, dict[str, str]]:
    """Only wheels, unless the packages' own code may run: a source distribution is built by running it."""
    target = f"{_OUT}/python"
    install = [f"{TOOLS}/uv", "pip", "install", "--target", target, "--python", tool.interpreter.path]
    install += [] if tool.scripts else ["--no-build"]
    for name in ("requirements.txt", "script-requirements.txt"):
        install += ["--requirements", name] if name in files else []
    # Byte code is made here, because a layer cannot be written to later; it names where it will be.
    compiling = [tool.interpreter.path, "-I", "-S", "-m", "compileall", "-q", "-j", "1"]
    compiling += ["-s", _OUT, "-p", "/app", "--invalidation-mode", "unchecked-hash", target]
    env = {
        "UV_DEFAULT_INDEX": tool.registry.url,
        "UV_NO_CONFIG": "1",
        "UV_NO_SOURCES": "1",
        "UV_NO_PROGRESS": "1",
        "UV_NO_PYTHON_DOWNLOADS": "1",
        "UV_CACHE_DIR": f"{BUILD_FOLDER}/cache",
        "UV_LINK_MODE": "hardlink",
        "UV_HTTP_RETRIES": _RETRIES,
    }
    order = _order([install], env, {"python": target})
    order.extras.append(compiling)
    return order, {f"{TOOLS}/uv": tool.path}


def _nodejs(tool: Tool, files: list[str], _bundle: str | None, _entry: str) -> tuple[Order, dict[str, str]]:
    verb = "ci" if "package-lock.json" in files else "install"
    install = [tool.interpreter.path, f"{TOOLS}/npm/bin/npm-cli.js", verb, "--omit=dev"]
    install += ["--no-audit", "--no-fund", "--no-progress", "--loglevel=http", "--no-update-notifier"]
    install += [] if tool.scripts else ["--ignore-scripts"]
    env = {
        "npm_config_registry": tool.registry.url,
        "npm_config_cache": f"{BUILD_FOLDER}/cache",
        "npm_config_userconfig": f"{BUILD_FOLDER}/home/user.npmrc",
        "npm_config_globalconfig": f"{BUILD_FOLDER}/home/global.npmrc",
        "npm_config_fetch_retries": _RETRIES,
        "npm_config_fetch_retry_mintimeout": "500",
        "npm_config_maxsockets": "8",
    }
    if tool.ca_file is not None:
        env["npm_config_cafile"] = _CA
    mounts = {f"{TOOLS}/npm": tool.path} | {path: path for path in tool.interpreter.mounts}
    return _order([install], env, {"node_modules": f"{_IN}/node_modules"}), mounts


def _deno(tool: Tool, _files: list[str], bundle: str | None, entry: str) -> tuple[Order, dict[str, str]]:
    """Fetch the module graph. Nothing in it runs, and scripts of npm packages are never run this way.

    The flags are those that the sandbox will run it with.
    """
    if bundle is None:
        raise ValueError("deno's dependencies are in the sources")
    lock = Path(bundle, "deno.lock").is_file()
    locking = ["--frozen", f"--lock={BUNDLE}/deno.lock"] if lock else ["--no-lock"]
    config = [f"--config={BUNDLE}/deno.json"] if Path(bundle, "deno.json").is_file() else ["--no-config"]
    fetch = [f"{TOOLS}/deno", "cache", *config, "--node-modules-dir=none", *locking, f"{BUNDLE}/{entry}"]
    env = {
        "DENO_DIR": f"{_OUT}/deno",
        "DENO_NO_UPDATE_CHECK": "1",
        "DENO_NO_PROMPT": "1",
        "NPM_CONFIG_REGISTRY": tool.registry.url,
    }
    mounts = {f"{TOOLS}/deno": tool.path, BUNDLE: bundle}
    order = _order([fetch], env, {"deno": f"{_OUT}/deno"}, cwd=BUNDLE)
    # Its databases of analyses are of no use where they cannot be written.
    order.extras.append(["/bin/sh", "-c", f"rm -f {_OUT}/deno/*_cache_v*"])
    return order, mounts
