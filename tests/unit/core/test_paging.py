"""A list that is walked both ways shows every row once, whatever the size of its pages."""

from hypothesis import given
from hypothesis import strategies as st

from runwright.core.paging import Listing, View, Window


def show(ids: list[str], window: Window) -> View[str]:
    """What a store does, with a list in place of a table."""
    rows = [
        one
        for one in ids
        if (window.older_than is None or one < window.older_than)
        and (window.newer_than is None or one > window.newer_than)
    ]
    rows.sort(reverse={"DESC": True, "ASC": False}[window.order])
    return View.of(rows[: window.limit + 1], window)


@given(ids=st.sets(st.text("abc", min_size=1, max_size=4)), limit=st.integers(1, 5))
def test_older_pages_and_the_way_back_show_the_same_rows(ids: set[str], limit: int) -> None:
    newest_first = sorted(ids, reverse=True)
    pages = [show(newest_first, Window(limit=limit))]
    assert not pages[0].newer
    while pages[-1].older:
        pages.append(show(newest_first, Window(limit=limit, older_than=pages[-1].rows[-1])))
        assert pages[-1].newer
    assert [one for page in pages for one in page.rows] == newest_first
    for before, page in zip(pages[-2::-1], pages[:0:-1], strict=True):
        back = show(newest_first, Window(limit=limit, newer_than=page.rows[0]))
        assert (back.rows, back.older, back.newer) == (before.rows, True, before is not pages[0])


@given(rows=st.lists(st.integers(), max_size=5), total=st.integers(), next_id=st.none() | st.text())
def test_a_listing_is_converted_row_by_row_and_keeps_its_place(
    rows: list[int], total: int, next_id: str | None
) -> None:
    listing = Listing(rows=rows, total=total, has_more=next_id is not None, next_id=next_id)
    texts = Listing(rows=[*map(str, rows)], total=total, has_more=next_id is not None, next_id=next_id)
    assert listing.map(str) == texts
