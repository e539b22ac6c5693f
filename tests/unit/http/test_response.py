"""A page that is encoded row by row is the same JSON."""

from datetime import UTC, datetime

import msgspec
import pytest

from runwright.http.response import encode_rows

AT = datetime(2026, 3, 1, tzinfo=UTC)


class Row(msgspec.Struct, frozen=True):
    id: str
    at: datetime
    raw: msgspec.Raw
    more: dict[str, float] = {}


class Page(msgspec.Struct, frozen=True, omit_defaults=True):
    data: list[Row]
    total: int | None = None


class Answer(msgspec.Struct, frozen=True, rename="camel"):
    page_data: Page
    names: list[str]


ROWS = [Row("é", AT, msgspec.Raw(b'{"a": 1}'), {"x": 1.5}), Row("", AT, msgspec.Raw(b"null"))]


@pytest.mark.parametrize(
    "result",
    [
        *(Page(ROWS), Page([]), Page(ROWS[:1], total=1), ROWS[0], None, {"a": 1}, "text"),
        Answer(Page(ROWS, total=2), ["a", "b"]),
    ],
)
async def test_it_is_the_same(result: object) -> None:
    assert msgspec.json.encode(await encode_rows(result)) == msgspec.json.encode(result)


async def test_each_row_is_a_step() -> None:
    encoded = await encode_rows(Answer(Page(ROWS), []))
    assert isinstance(encoded, Answer)
    assert {type(row).__name__ for row in encoded.page_data.data} == {"Raw"}
