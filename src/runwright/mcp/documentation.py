"""Tools about the documentation."""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from math import log
from typing import Annotated, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from runwright.docs_site.site import DocsSite
from runwright.mcp.results import ToolOutput, ToolResult, cut
from runwright.mcp.tools import TOOLS, Parameters, ToolContext, ToolError
from runwright.mcp.windows import Cursor, text_part

_PAGE: Final = ".md"
_DECISIONS: Final = "decisions/"
_WORD: Final = re.compile(r"\w+")
_MOST_HITS: Final = 8
_EXCERPT: Final = 400
_TITLE_WEIGHT: Final = 5
_NOT_BUILT: Final = "The documentation is not part of this installation."


class Section(msgspec.Struct, frozen=True):
    """A heading of a page, and the text below it."""

    page: str
    heading: str
    text: str


class SearchDocs(Parameters, frozen=True, kw_only=True):
    """What to search for."""

    query: Annotated[str, Meta(min_length=1, max_length=200)]


@TOOLS.add("Search the documentation")
async def search_docs(_context: ToolContext, parameters: SearchDocs) -> ToolResult:
    """Find sections of Runwright's documentation that have the words of a query; read_doc has the pages."""
    words = {word.casefold() for word in _WORD.findall(parameters.query)}
    if not words:
        raise ToolError("`query` has no words.")
    weights = {word: _rarity(word) for word in words}
    ranked = sorted(((_score(section, weights), section) for section in _sections()), key=lambda one: -one[0])
    hits = [
        {"page": section.page, "heading": section.heading, "excerpt": cut(section.text, _EXCERPT)}
        for score, section in ranked[:_MOST_HITS]
        if score > 0
    ]
    return ToolResult(f"{len(hits)} sections.", ToolOutput(data=hits))


class ReadDoc(Parameters, frozen=True, kw_only=True):
    """Which page."""

    page: Annotated[str, Meta(max_length=200, description="Without it the pages are listed.")] | UnsetType = (
        UNSET
    )
    cursor: Cursor | UnsetType = UNSET


@TOOLS.add("Read the documentation")
async def read_doc(_context: ToolContext, parameters: ReadDoc) -> ToolResult:
    """Read a page of Runwright's documentation."""
    pages = _pages()
    if parameters.page is UNSET:
        return ToolResult(f"{len(pages)} pages.", ToolOutput(data=sorted(pages)))
    text = pages.get(parameters.page.removesuffix(_PAGE))
    if text is None:
        raise ToolError(f"There is no page {parameters.page[:100]!r}. Without `page` they are listed.")
    part = text_part(text, parameters.cursor)
    return ToolResult(f"{part.place.capitalize()}.", ToolOutput(data=part.text, next_cursor=part.next_cursor))


@cache
def _pages() -> dict[str, str]:
    site = DocsSite.open()
    names = [name for name in site.files if name.endswith(_PAGE) and not name.startswith(_DECISIONS)]
    if not names:
        raise ToolError(_NOT_BUILT)
    return {name.removesuffix(_PAGE): site.path_of(name).read_text(encoding="utf-8") for name in names}


@cache
def _sections() -> tuple[Section, ...]:
    return tuple(section for page, text in _pages().items() for section in _sections_of(page, text))


def _sections_of(page: str, text: str) -> Iterator[Section]:
    for part in re.split(r"^(?=#{1,4} )", text, flags=re.MULTILINE):
        heading, _, body = part.partition("\n")
        if body.strip():
            yield Section(page, heading.lstrip("# ").strip(), body.strip())


def _rarity(word: str) -> float:
    """Return the weight of a word: 0 where all sections have it."""
    sections = _sections()
    return log(len(sections) / (1 + sum(word in section.text.casefold() for section in sections)))


def _score(section: Section, weights: Mapping[str, float]) -> float:
    """Return how well a section fits: the words that it has, above all in its heading, rare ones more."""
    heading = {word.casefold() for word in _WORD.findall(f"{section.page} {section.heading}")}
    text = section.text.casefold()
    return sum(
        weight * ((_TITLE_WEIGHT if word in heading else 0) + (1 if word in text else 0))
        for word, weight in weights.items()
    )
