"""Secrets are found that continue from one log line to the next."""

import base64

import pytest

from runwright.runtimes.pool.line_masker import LineMasker
from runwright.secrets.masking import Masker

SECRET = "hunter2-and-more-of-it"


def lines_of(text: bytes, width: int) -> list[bytes]:
    return [text[at : at + width] for at in range(0, len(text), width)]


@pytest.mark.parametrize("lead", range(30, 60))
def test_neither_half_of_a_secret_shows_where_each_line_comes_alone(lead: int) -> None:
    masker = LineMasker(Masker([SECRET]))
    data = b"\xff" * lead + SECRET.encode() + b"\xff" * 100
    for text, width, fill in (
        (base64.b64encode(data), 76, b"/"),
        (base64.b64encode(data), 64, b"/"),
        (data.hex().encode(), 60, b"f"),
    ):
        shown = b"".join(masker.mask("info", line) for line in lines_of(text, width))
        kept = shown.replace(b"***", b"").replace(fill, b"").rstrip(b"=w8")
        assert len(kept) <= 6, shown  # less than four bytes of it


def test_lines_of_the_other_stream_in_between_change_nothing() -> None:
    masker = LineMasker(Masker([SECRET]))
    first, second = lines_of(base64.b64encode(b"\xff" * 47 + SECRET.encode()), 76)
    assert masker.mask("info", first).endswith(b"***")
    assert masker.mask("error", b"warning") == b"warning"
    assert masker.mask("info", second).startswith(b"***")


def test_lines_that_end_like_base64_stay_as_they_are() -> None:
    masker = LineMasker(Masker([SECRET]))
    for line in lines_of(base64.b64encode(bytes(range(256))), 76):
        assert masker.mask("info", line) == line


def test_a_line_over_the_limit_is_masked_before_it_is_cut() -> None:
    masker = LineMasker(Masker([SECRET]))
    shown = masker.mask("info", b"x" * 16_370 + SECRET.encode() + b"\nnext " + SECRET.encode())
    assert b"hunter" not in shown
    assert shown.endswith(b"(line cut)\nnext ***")
