"""Puts into the wheel what the SDK and the remote commands import, and nothing else of the tree.

A command is remote if all that it imports is ours or a dependency of the client. Typer and Rich are vendored,
because they require Pygments, which is larger than all the rest and which these commands do without.
"""

import ast
import sys
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SERVER_COMMANDS = {"config"}
"""Remote by what they import, but about the settings of a server."""

VENDORED = ("rich", "typer")
PACKAGES = {
    *("annotated_doc", "anyio", "cronsim", "httpx", "httpx_sse", "msgspec"),
    *("pathspec", "platformdirs", "tomlkit", *VENDORED),
}
TREE = "runwright_client/tree"
VENDOR = "runwright_client/vendor"
PTH = "runwright_client.pth"


class ClientHook(BuildHookInterface):
    """Selects the files of a wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002  hatchling's
        root = Path(self.root).parents[1]
        source = Sources(root / "src")
        included = build_data["force_include"]
        for file in source.client_files():
            included[str(file)] = f"{TREE}/{file.relative_to(source.folder)}"
        for name in VENDORED:
            for file, path in installed_files(name):
                included[str(file)] = f"{VENDOR}/{path}"
        included[str(Path(self.root) / PTH)] = PTH
        included[str(root / "LICENSE")] = "runwright_client/LICENSE"


class Sources:
    """The modules of the tree, and what they import."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def client_files(self) -> list[Path]:
        """Return the files of the SDK, of the command line's frame and of every remote command."""
        frame = {"runwright", "runwright.__main__", "runwright.cli.entry", "runwright.cli.library_errors"}
        modules = self.closure(frame | self.submodules("runwright.client"))
        for noun in self.nouns():
            wanted = self.closure({noun})
            if self.packages_of(wanted) <= PACKAGES:
                modules |= wanted
        files = {file for module in modules if (file := self.file_of(module)) is not None}
        templates = self.folder / "runwright" / "cli" / "templates"
        data = {file for file in templates.rglob("*") if file.is_file() and file.suffix != ".pyc"}
        return sorted(files | data | {self.folder / "runwright" / "py.typed"})

    def nouns(self) -> list[str]:
        """Return the modules of the commands: those directly in `cli` that the index names."""
        index = ast.parse((self.folder / "runwright" / "cli" / "index.py").read_text())
        names = {node.value for node in ast.walk(index) if isinstance(node, ast.Constant)}
        return sorted(
            module
            for module in self.submodules("runwright.cli")
            if module.removeprefix("runwright.cli.") in names - SERVER_COMMANDS
        )

    def submodules(self, package: str) -> set[str]:
        """Return a package and all modules in it."""
        folder = self.folder.joinpath(*package.split("."))
        files = (file.relative_to(self.folder) for file in folder.rglob("*.py"))
        return {".".join(file.with_suffix("").parts).removesuffix(".__init__") for file in files}

    def closure(self, roots: set[str]) -> set[str]:
        """Return modules with all of ours that they import, and the packages that these are in."""
        found: set[str] = set()
        waiting = list(roots)
        while waiting:
            module = waiting.pop()
            file = self.file_of(module)
            if file is None or module in found:
                continue
            found.add(module)
            waiting += [name for name in imported(file) if name.split(".")[0] == "runwright"]
            waiting.append(module.rpartition(".")[0])
        return found

    def packages_of(self, modules: set[str]) -> set[str]:
        """Return the packages of others that modules import."""
        names = {
            name.split(".")[0]
            for module in modules
            if (file := self.file_of(module)) is not None
            for name in imported(file)
        }
        return names - {"runwright"} - sys.stdlib_module_names

    def file_of(self, module: str) -> Path | None:
        """Return the file of a module; None for what is none."""
        if not module:
            return None
        path = self.folder.joinpath(*module.split("."))
        candidates = (path / "__init__.py", path.with_suffix(".py"))
        return next((file for file in candidates if file.is_file()), None)


@cache
def imported(file: Path) -> tuple[str, ...]:
    """Return what a module imports when it runs, also by `import_module` with a literal; it is read once."""
    return tuple(_imported(file))


def _imported(file: Path) -> Iterator[str]:
    tree = ast.parse(file.read_text())
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if id(node) not in for_types:
            yield from names_in(node)


def names_in(node: ast.AST) -> Iterator[str]:
    """Yield the modules that a node imports."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module:
        yield node.module
        yield from (f"{node.module}.{alias.name}" for alias in node.names)
    elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
        called = getattr(node.func, "attr", getattr(node.func, "id", ""))
        if called == "import_module" and isinstance(node.args[0].value, str):
            yield node.args[0].value


def installed_files(package: str) -> Iterator[tuple[Path, str]]:
    """Yield the files of an installed package and its licence, each with its path beside the others."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"{package} is not installed")
    folder = Path(spec.origin).parent
    for file in folder.rglob("*"):
        if file.is_file() and file.suffix != ".pyc":
            yield file, str(file.relative_to(folder.parent))
    for licence in folder.parent.glob(f"{package}-*.dist-info/**/LICENSE*"):
        yield licence, f"{package}/{licence.name}"
