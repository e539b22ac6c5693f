"""The documentation site builds without a warning, works offline and lists every page for language models."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

pytestmark = pytest.mark.timeout(300)

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def build(root: Path, site: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(
        command, cwd=root, env=environment, capture_output=True, text=True, timeout=280, check=False
    )


def is_current(site: Path) -> bool:
    """Return whether `make docs` has built a site since its inputs changed last."""
    manifest = site / "manifest.json"
    folders = (path for name in ("docs", "examples", "scripts/docs") for path in (ROOT / name).rglob("*"))
    inputs = [ROOT / "mkdocs.yml", ROOT / "src/runwright/config.default.toml", *ROOT.glob("*.md"), *folders]
    changed = max(path.stat().st_mtime for path in inputs if path.is_file() and path.suffix != ".pyc")
    return manifest.exists() and manifest.stat().st_mtime >= changed


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The site that `make test` has built beforehand, or one that is built here."""
    built = ROOT / "src/runwright/docs_site/built"
    if is_current(built):
        yield built
        return
    folder = tmp_path_factory.mktemp("site")
    done = build(ROOT, folder)
    assert done.returncode == 0, done.stderr
    yield folder
    shutil.rmtree(folder)


def test_every_page_is_in_the_navigation_in_llms_txt_and_there_as_markdown(site: Path) -> None:
    index = (site / "llms.txt").read_text()
    everything = (site / "llms-full.txt").read_text()
    listed = set(re.findall(r"\]\(/docs/([^)]+\.md)\)", index))
    own = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    assert listed >= own | {"changelog.md", "settings.md", "architecture.md"}
    assert "](/docs/llms-full.txt)" in index
    for name in listed:
        assert (site / name).read_text().strip(), name
        assert name.startswith("decisions/") or f"<!-- {name} -->" in everything
    empty = [line for line in index.splitlines() if line.startswith("- [") and line.endswith(": ")]
    assert not empty, "a page has no first sentence that describes it"


def test_the_manifest_lists_every_file_with_its_policy(site: Path) -> None:
    manifest = json.loads((site / "manifest.json").read_text())
    files = {path.relative_to(site).as_posix() for path in site.rglob("*") if path.is_file()}
    assert manifest.keys() == files - {"manifest.json"}
    page = manifest["secrets/index.html"]
    assert page["media_type"] == "text/html; charset=utf-8"
    assert re.search(r"script-src 'self' ('sha256-[\w+/=]+' ?)+;", page["policy"])
    assert "unsafe" not in page["policy"]
    hashed = {name for name, entry in manifest.items() if entry["hashed"]}
    assert any(name.endswith(".js") for name in hashed)
    assert "index.html" not in hashed


def test_a_broken_link_a_missing_heading_and_an_unlisted_page_fail_the_build(tmp_path: Path) -> None:
    root = tmp_path / "root"
    for name in ("mkdocs.yml", "CHANGELOG.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md"):
        root.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, root / name)
    shutil.copytree(ROOT / "scripts" / "docs", root / "scripts" / "docs")
    (root / "docs").mkdir()  # without most pages, which is sooner built
    shutil.copy(DOCS / "jobs.md", root / "docs")
    settings = root / "src" / "runwright" / "config.default.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text("port = 8080\n")
    (root / "docs" / "stray.md").write_text(
        "# Stray\n\n[nowhere](nowhere.md) [no heading](jobs.md#no-such)\n"
    )
    done = build(root, tmp_path / "site")
    assert done.returncode != 0
    assert "nowhere.md" in done.stderr
    assert "no-such" in done.stderr
    assert "stray.md" in done.stderr


@pytest.fixture(scope="module")
def output() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_output", ROOT / "scripts" / "docs" / "output.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("html", "problem"),
    [
        ('<script src="https://cdn.example/x.js"></script>', "another host"),
        ('<script src="//cdn.example/x.js"></script>', "another host"),
        ('<link rel="stylesheet" href="https://fonts.example/css">', "another host"),
        ('<img src="https://img.example/badge.svg">', "another host"),
        ('<form action="https://evil.example/">', "another host"),
        ('<p style="color: red">', "refused"),
        ("<style>p {}</style>", "refused"),
        ('<a onclick="x()">', "refused"),
    ],
)
def test_what_does_not_work_offline_or_under_the_policy_is_named(
    output: ModuleType, html: str, problem: str
) -> None:
    with pytest.raises(Exception, match=f"page.html: .*{problem}"):
        output.checked_scripts("page.html", html)


def test_links_to_other_hosts_and_inline_scripts_are_fine(output: ModuleType) -> None:
    text = (
        '<a href="https://example.com/">x</a><script>a()</script><script type="application/json">{}</script>'
    )
    assert output.checked_scripts("page.html", text) == [
        "sha256-qVpDBgj7bpq5hMAcGp3AOc79J3Y1Z4HvySTwKrWDoy4="
    ]
