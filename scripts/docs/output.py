"""What the documentation site has beside its pages, and a check of them. MkDocs calls the functions `on_...`.

- llms.txt (a list of the pages), llms-full.txt (their text), and each page as Markdown beside its HTML.
- manifest.json, by which the server serves the files: media type, ETag and Content-Security-Policy of each.
- The check fails the build if a page would load something from another host, or what the policy refuses.
"""

import base64
import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.nav import Navigation
from mkdocs.structure.pages import Page

MEDIA_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".md": "text/markdown; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".webp": "image/webp",
    ".xml": "application/xml",
}
UNUSED: Final = ("assets/javascripts/lunr", "sitemap.xml.gz")
"""Search in other languages, and what the pages' scripts do not ask for."""

SECONDARY: Final = "Decisions"
"""The section that llms-full.txt leaves out, and llms.txt calls optional."""

POLICY: Final = (
    "default-src 'none'; script-src 'self'{scripts}; style-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HASHED: Final = re.compile(r"\.[0-9a-f]{8}\.min\.(css|js)$")
_REMOTE: Final = re.compile(r"(\w+:)?//")
_REMOTE_CSS: Final = re.compile(rb"@import|url\(['\"]?(https?:)?//")
_LOADED: Final = {"link": "href", "form": "action", "object": "data"}
"""Which attribute of a tag loads something; `src` of any other."""

_pages: list[Page] = []
"""Those of the navigation, in its order."""


def on_nav(nav: Navigation, **_: object) -> Navigation:
    """Keep the order of the pages."""
    _pages[:] = nav.pages
    return nav


def on_post_build(config: MkDocsConfig) -> None:
    """Write what belongs beside the pages, and check them."""
    site = Path(config.site_dir)
    _tidy(site)
    for page in _pages:
        (site / page.file.src_uri).write_text(page.markdown or "")
    (site / "llms.txt").write_text("\n".join(_index(config)) + "\n")
    (site / "llms-full.txt").write_text("\n\n".join(_texts()) + "\n")
    manifest = {name: _entry(name, site / name) for name in _names(site)}
    (site / "manifest.json").write_text(json.dumps(manifest, indent=0))


def _tidy(site: Path) -> None:
    for path in [*(site / name for name in UNUSED), *site.rglob("*.map")]:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _names(site: Path) -> list[str]:
    return sorted(path.relative_to(site).as_posix() for path in site.rglob("*") if path.is_file())


def _section(page: Page) -> str:
    return page.ancestors[-1].title if page.ancestors else ""


def _index(config: MkDocsConfig) -> Iterator[str]:
    yield f"# {config.site_name}\n\n> {config.site_description}\n"
    yield "All of it in one file: [llms-full.txt](/docs/llms-full.txt)."
    section = ""
    for page in _pages:
        if _section(page) != section:
            section = _section(page)
            yield f"\n## {'Optional' if section == SECONDARY else section}\n"
        yield f"- [{page.title}](/docs/{page.file.src_uri}): {page.meta['description']}"


def _texts() -> Iterator[str]:
    for page in _pages:
        if _section(page) != SECONDARY:
            yield f"<!-- {page.file.src_uri} -->\n\n{(page.markdown or '').strip()}"


def _entry(name: str, path: Path) -> dict[str, object]:
    if path.suffix not in MEDIA_TYPES:
        raise PluginError(f"{name}: MEDIA_TYPES in scripts/docs/output.py has no type for it")
    content = path.read_bytes()
    if path.suffix == ".css" and _REMOTE_CSS.search(content):
        raise PluginError(f"{name}: loads something from another host")
    scripts = checked_scripts(name, content.decode()) if path.suffix == ".html" else []
    return {
        "media_type": MEDIA_TYPES[path.suffix],
        "etag": f'"{hashlib.sha256(content).hexdigest()[:32]}"',
        "policy": POLICY.format(scripts="".join(f" '{script}'" for script in scripts)),
        "hashed": bool(_HASHED.search(name)),
    }


class _Html(HTMLParser):
    """Collects the hashes of inline scripts, and what does not work offline or under the policy."""

    def __init__(self) -> None:
        super().__init__()
        self.scripts: list[str] = []
        self.problems: set[str] = set()
        self._in_script = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        loaded = given.get(_LOADED.get(tag, "src")) or ""
        if _REMOTE.match(loaded):
            self.problems.add(f"<{tag}> loads {loaded} from another host")
        refused = [name for name in given if name == "style" or name.startswith("on")]
        if refused or tag == "style":
            self.problems.add(f"<{' '.join([tag, *refused])}> is refused by the policy")
        self._in_script = tag == "script" and "src" not in given and given.get("type") != "application/json"

    def handle_data(self, data: str) -> None:
        if self._in_script:
            digest = base64.b64encode(hashlib.sha256(data.encode()).digest()).decode()
            self.scripts.append(f"sha256-{digest}")

    def handle_endtag(self, _: str) -> None:
        self._in_script = False


def checked_scripts(name: str, text: str) -> list[str]:
    """Return the hashes of a page's inline scripts, or fail the build."""
    page = _Html()
    page.feed(text)
    if page.problems:
        raise PluginError(f"{name}: {'; '.join(sorted(page.problems))}")
    return list(dict.fromkeys(page.scripts))
