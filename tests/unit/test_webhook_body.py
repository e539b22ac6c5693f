"""What is accepted of a webhook is read, in whichever encoding; what cannot be read is refused with the reason."""

import gzip
import zlib
from urllib.parse import urlencode

import pytest

from runwright.core.webhook_body import (
    OversizedBodyError,
    UnreadableBodyError,
    WebhookBody,
    read_webhook_body,
)

TEXT = '{"ref": "main", "name": "Zoë"}'
FIELDS = {"ref": "main", "name": "Zoë"}
FORM = "application/x-www-form-urlencoded"
LIMIT = 1024 * 1024


def read(
    body: bytes, content_type: str = "application/json", encoding: str = "", *, strict: bool = True
) -> WebhookBody:
    return read_webhook_body(
        body, content_type=content_type, content_encoding=encoding, strict=strict, limit_bytes=LIMIT
    )


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize(
    ("body", "content_type", "encoding"),
    [
        (TEXT.encode(), "", ""),
        (TEXT.encode("utf-8-sig"), "application/json", ""),
        (TEXT.encode("utf-16"), "application/json", ""),
        (b"\xfe\xff" + TEXT.encode("utf-16-be"), "", ""),
        (TEXT.encode("utf-16-le"), "application/json; charset=utf-16le", ""),
        (TEXT.encode("utf-16-be"), "", ""),
        (TEXT.encode("utf-32"), "", ""),
        (TEXT.encode("latin-1"), "application/json; charset=ISO-8859-1", ""),
        (TEXT.encode("cp1252"), 'application/json;charset="windows-1252"', ""),
        (gzip.compress(TEXT.encode(), mtime=0), "application/json", "gzip"),
        (gzip.compress(TEXT.encode(), mtime=0), "application/json", "identity, GZIP"),
        (gzip.compress(TEXT.encode(), mtime=0), "", ""),
        (gzip.compress(TEXT[:9].encode(), mtime=0) + gzip.compress(TEXT[9:].encode(), mtime=0), "", "gzip"),
        (gzip.compress(TEXT.encode("utf-16"), mtime=0), "", "x-gzip"),
        (zlib.compress(TEXT.encode()), "application/json", "deflate"),
        (TEXT.encode(), "application/cloudevents+json; charset=UTF-8", ""),
        (TEXT.encode(), FORM, ""),
    ],
)
def test_json_is_read_however_it_is_encoded(
    body: bytes, content_type: str, encoding: str, strict: bool
) -> None:
    found = read(body, content_type, encoding, strict=strict)
    assert (found.fields, found.text) == (FIELDS, TEXT)


@pytest.mark.parametrize(
    ("form", "fields"),
    [
        ({"payload": TEXT}, FIELDS),
        ({"payload": TEXT, "token": "x"}, FIELDS),
        (
            {"command": "/deploy", "text": "a & b=c", "empty": ""},
            {"command": "/deploy", "text": "a & b=c", "empty": ""},
        ),
        ({"payload": "no json"}, {"payload": "no json"}),
    ],
)
def test_a_form_is_read_and_what_its_payload_holds(form: dict[str, str], fields: object) -> None:
    assert read(urlencode(form).encode(), f"{FORM}; charset=utf-8").fields == fields
    assert read(gzip.compress(urlencode(form).encode()), FORM, "gzip").fields == fields


def test_a_field_of_a_form_that_is_given_several_times_is_a_list() -> None:
    assert read(b"a=1&b=2&a=1&a=3", FORM).fields == {"a": ["1", "1", "3"], "b": "2"}


@pytest.mark.parametrize(
    ("body", "content_type", "encoding", "reason"),
    [
        (b"{", "application/json", "", "is not valid JSON"),
        (b"text", "application/vnd.api+json", "", "is not valid JSON"),
        (b"\xff{}", "application/json", "", "is not in utf-8"),
        (TEXT.encode(), "application/json; charset=klingon", "", "unknown charset klingon"),
        (b"x", "application/json", "br", "content encoding br: send it plain or gzipped"),
        (b"x", "", "zstd", "content encoding zstd"),
        (b"\x1f\x8bx", "application/json", "gzip", "cannot be decompressed"),
        (gzip.compress(TEXT.encode(), mtime=0)[:-9], "", "gzip", "it is cut off"),
        (b"--x", "multipart/form-data; boundary=x", "", "multipart/form-data"),
        (b'{"a":' * 70 + b"1" + b"}" * 70, "application/json", "", "nested too deeply"),
        (b"&".join(b"a=1" for _ in range(1001)), FORM, "", "is not a urlencoded form"),
        (b"no pair", FORM, "", "is not a urlencoded form"),
    ],
)
def test_what_cannot_be_read_is_refused_and_why(
    body: bytes, content_type: str, encoding: str, reason: str
) -> None:
    with pytest.raises(UnreadableBodyError, match=reason):
        read(body, content_type, encoding)


def test_a_body_is_bounded_once_it_is_decompressed() -> None:
    for bomb in (gzip.compress(bytes(LIMIT + 1)), gzip.compress(bytes(LIMIT)) + gzip.compress(b"1")):
        with pytest.raises(OversizedBodyError):
            read(bomb, "", "gzip")
    assert len(read(gzip.compress(b"1" * LIMIT), "", "gzip").text) == LIMIT


@pytest.mark.parametrize("body", [b"not json", b"[1,2]", b'"text"', b"\xff\xfe", b"", b"a=1"])
def test_without_strictness_anything_is_a_text(body: bytes) -> None:
    found = read(body, "application/json", strict=False)
    assert (found.text, found.fields) == (body.decode(errors="replace"), None)


@pytest.mark.parametrize(
    ("escaped", "meant"),
    [
        (r"\ud83d", "\ufffd"),
        (r"a\uDE00b", "a\ufffdb"),
        (r"\ud83d\ud83d\ude00", "\ufffd\N{GRINNING FACE}"),
        (r"\\ud83d", r"\ud83d"),
        (r"\\\ud83d\n", "\\\ufffd\n"),
    ],
)
def test_half_a_character_at_which_a_sender_cut_a_text_is_replaced(escaped: str, meant: str) -> None:
    text = f'{{"message": "{escaped}"}}'
    assert read(text.encode()) == WebhookBody(text=text, fields={"message": meant})
    assert read(urlencode({"payload": text}).encode(), FORM).fields == {"message": meant}
    assert read(f"[{text}]".encode()).fields is None
