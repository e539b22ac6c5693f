"""Pages of the documentation site that are made from files outside of docs/: changelog, examples and others.

Links to such a file lead to its page. MkDocs calls the functions `on_...`.
"""

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

Nav = str | dict[str, "Nav"] | list["Nav"]

ROOT: Final = Path(__file__).resolve().parents[2]
DOCS: Final = ROOT / "docs"
EXAMPLES: Final = ROOT / "examples"
SETTINGS: Final = ROOT / "src/runwright/config.default.toml"

COPIED: Final = {
    "ARCHITECTURE.md": "architecture.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "examples/README.md": "examples/index.md",
}
"""Files of the repository that are pages themselves."""

SHOWN: Final = COPIED | {
    "README.md": "index.md",
    "docs/decisions": "decisions/index.md",
    "examples": "examples/index.md",
    "src/runwright/config.default.toml": "settings.md",
}
"""The page on which a reader of the site finds each file."""

LANGUAGES: Final = {
    ".c": "c", ".js": "js", ".json": "json", ".py": "python", ".sh": "bash", ".toml": "toml", ".ts": "ts",
    ".txt": "text",
}  # fmt: skip
"""Files of examples that are shown, and how they are highlighted."""

_LONGEST_LISTING: Final = 20_000
_LINK: Final = re.compile(r"(?<=\]\()([^)#\s:]+)(?=[)#])")
_HEADING: Final = re.compile(r"^# +(.+)$", re.MULTILINE)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the pages that `folder/*` represents into the navigation."""
    config.nav = list(_expanded(config.nav))
    return config


def _expanded(nav: list[Nav]) -> Iterator[Nav]:
    for part in nav:
        if isinstance(part, dict):
            yield {
                title: list(_expanded(one)) if isinstance(one, list) else one for title, one in part.items()
            }
        elif isinstance(part, str) and part.endswith("/*"):
            yield from _pages_in(part)
        else:
            yield part


def _pages_in(pattern: str) -> list[str]:
    if pattern == "examples/*":
        return [f"examples/{folder.name}.md" for folder in _examples()]
    return sorted(path.relative_to(DOCS).as_posix() for path in DOCS.glob(pattern))


def _examples() -> list[Path]:
    return sorted(readme.parent for readme in EXAMPLES.glob("*/README.md"))


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages."""
    for name, text in _generated():
        files.append(File.generated(config, name, content=text))
    return files


def _generated() -> Iterator[tuple[str, str]]:
    for source, name in COPIED.items():
        if (ROOT / source).exists():
            yield name, _relinked((ROOT / source).read_text(), source, name)
    yield "settings.md", _settings()
    yield "decisions/index.md", "\n".join(_decisions())
    for folder in _examples():
        name, source = f"examples/{folder.name}.md", f"examples/{folder.name}/README.md"
        yield name, _relinked((ROOT / source).read_text(), source, name) + "".join(_listings(folder))


def _settings() -> str:
    return (
        "# Settings\n\nEvery setting with its default. Each can be a line of a TOML file (`--config`),"
        " `RUNWRIGHT_*` in the environment or a flag of `runwright serve`; `runwright config` shows those"
        f" in effect and where each comes from.\n\n```toml\n{SETTINGS.read_text()}```\n"
    )


def _decisions() -> Iterator[str]:
    yield "# Decisions\n"
    yield "What a reader of the code would question: context, decision, cost, what would prove it wrong.\n"
    for path in sorted(DOCS.glob("decisions/*.md")):
        yield f"- [{_title(path)}]({path.name})"


def _title(path: Path) -> str:
    found = _HEADING.search(path.read_text())
    if found is None:
        raise PluginError(f"{path}: has no heading")
    return found[1]


def _listings(folder: Path) -> Iterator[str]:
    """Yield the files of an example, each as a listing, its runwright.toml first."""
    yield "\n## Files\n"
    for path in sorted(folder.rglob("*"), key=lambda one: (one.suffix != ".toml", one.as_posix())):
        if path.suffix in LANGUAGES and path.stat().st_size <= _LONGEST_LISTING:
            name = path.relative_to(folder).as_posix()
            yield f'\n```{LANGUAGES[path.suffix]} title="{name}"\n{path.read_text().rstrip()}\n```\n'


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Lead links out of docs/ to the pages, and describe the page by its first sentence."""
    name = page.file.src_uri
    text = _relinked(markdown, f"docs/{name}", name)
    page.meta.setdefault("description", _first_sentence(text))
    return text


def _relinked(text: str, source: str, page: str) -> str:
    """Return the text of a file of the repository with its links as a page of the site has them."""

    def replaced(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link[1]))
        found = _page_of(target)
        return link[1] if found is None else posixpath.relpath(found, posixpath.dirname(page) or ".")

    return _LINK.sub(replaced, text)


def _page_of(path: str) -> str | None:
    """Return the page that shows a file of the repository, or None if there is none."""
    if path in SHOWN:
        return SHOWN[path]
    if path.startswith("examples/"):
        return f"examples/{path.split('/')[1]}.md"
    return path.removeprefix("docs/") if path.startswith("docs/") else None


def _first_sentence(markdown: str) -> str:
    """Return the first sentence of the first paragraph, without markup."""
    for block in re.split(r"\n\s*\n", markdown):
        line = " ".join(block.split())
        if line and line[0] not in "#<|`-:!>":
            plain = re.sub(r"\[([^\]]*)\]\([^)]*\)|[*`]", r"\1", line)
            return re.split(r"(?<=[.!?:]) ", plain)[0]
    return ""
