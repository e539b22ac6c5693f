"""No secret shows, however it is written and wherever the text was cut; what is no secret stays."""

import base64
import html
import html.entities
import json
import re
import shlex
import urllib.parse
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runwright.secrets.masking import Masker, Truncation

Write = Callable[[str], str]


def plain(value: str) -> str:
    return value


def percent_all(value: str) -> str:
    return "".join(f"%{byte:02X}" for byte in value.encode())


def percent_lower(value: str) -> str:
    return "".join(f"%{byte:02x}" for byte in value.encode())


def encode_uri(value: str) -> str:
    return urllib.parse.quote(value, safe=";,/?:@&=+$-_.!~*'()#")


def encode_uri_component(value: str) -> str:
    return urllib.parse.quote(value, safe="-_.!~*'()")


def escape_all(value: str) -> str:
    units = value.encode("utf-16-be")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02X}" for i in range(0, len(units), 2))


def escape_points(value: str) -> str:
    return "".join(f"\\u{{{ord(letter):x}}}" for letter in value)


def escape_long(value: str) -> str:
    return "".join(f"\\U{ord(letter):08x}" for letter in value)


def escape_bytes(value: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in value.encode())


def escape_octal(value: str) -> str:
    return "".join(f"\\{byte:03o}" for byte in value.encode())


def json_slashes(value: str) -> str:
    return json.dumps(value).replace("/", "\\/")


def entities(value: str) -> str:
    return "".join(f"&#{ord(letter)};" for letter in value)


def entities_hex(value: str) -> str:
    return "".join(f"&#x{ord(letter):X};" for letter in value)


def standard_64(value: str) -> str:
    return base64.b64encode(value.encode()).decode()


def url_64(value: str) -> str:
    return base64.urlsafe_b64encode(value.encode()).decode().rstrip("=")


def basic_1(value: str) -> str:
    return base64.b64encode(f"u:{value}".encode()).decode()


def basic_2(value: str) -> str:
    return base64.b64encode(f"me:{value}".encode()).decode()


def inside_64(value: str) -> str:
    return base64.urlsafe_b64encode(f'{{"password": "{value}", "x": 1}}'.encode()).decode()


def hex_upper(value: str) -> str:
    return value.encode().hex().upper()


WRITINGS: dict[str, Write] = {
    one.__name__: one
    for one in (
        *(plain, percent_all, percent_lower, encode_uri, encode_uri_component),
        *(escape_all, escape_points, escape_long, escape_bytes, escape_octal, json_slashes),
        *(entities, entities_hex, standard_64, url_64, basic_1, basic_2, inside_64, hex_upper),
    )
} | {
    "quote": urllib.parse.quote,
    "quote_plus": urllib.parse.quote_plus,
    "urlencode": lambda value: urllib.parse.urlencode({"q": value}),
    "json": json.dumps,
    "json unicode": lambda value: json.dumps(value, ensure_ascii=False),
    "json in json": lambda value: json.dumps(json.dumps({"a": value})),
    "json in url": lambda value: urllib.parse.quote(json.dumps([value])),
    "url in json": lambda value: json.dumps("https://h/?q=" + urllib.parse.quote_plus(value)),
    "url in url": lambda value: urllib.parse.quote(urllib.parse.quote(value)),
    "64 in url": lambda value: urllib.parse.quote_plus(standard_64(value)),
    "repr": repr,
    "repr of bytes": lambda value: repr(value.encode()),
    "ascii": ascii,
    "html": html.escape,
    "hex": lambda value: value.encode().hex(),
    "hex with spaces": lambda value: value.encode().hex(" "),
    "hex with colons": lambda value: value.encode().hex(":"),
    "shell": shlex.quote,
}
SEPARATED: dict[str, Write] = {
    "hex with dashes": lambda value: value.encode().hex("-").upper(),
    "hex in a C array": lambda value: ", ".join(f"0x{byte:02x}" for byte in value.encode()),
    "hex of xxd -p": lambda value: fold((b"x" * 25 + value.encode() + b"y" * 50).hex(), 60),
    "base64 with the break inside": lambda value: wrapped_64("x" * 50 + value + "y" * 90, 76),
    "base64 of openssl": lambda value: wrapped_64("x" * 41 + value + "y" * 90, 64),
    "base64 with CRLF in a mail": lambda value: wrapped_64("x" * 50 + value, 76).replace("\n", "\r\n"),
    "base64 in YAML": lambda value: (
        "data: |\n    " + wrapped_64("x" * 51 + value, 76).replace("\n", "\n    ")
    ),
    "wrapped base64 in JSON": lambda value: json.dumps({"data": wrapped_64("x" * 52 + value + "z", 76)}),
    "lines of base64 in JSON": lambda value: json.dumps(wrapped_64("x" * 52 + value, 76).split("\n")),
    "base64 of base64": lambda value: standard_64(standard_64(value)),
    "base64 of longer base64": lambda value: standard_64("token: " + standard_64(f"user:{value}!") + "\n"),
    "base64 of UTF-16": lambda value: base64.b64encode(f'Write "{value}"'.encode("utf-16-le")).decode(),
    "hex of UTF-16": lambda value: value.encode("utf-16-le").hex(),
    "UTF-16": lambda value: value.encode("utf-16-le").decode("latin-1"),
    "base32": lambda value: base64.b32encode(value.encode()).decode(),
    "base32 inside": lambda value: base64.b32encode(f"a:{value}".encode()).decode(),
    "bytes of node": lambda value: json.dumps(
        {"type": "Buffer", "data": list(b"abc" + value.encode() + b"d")}
    ),
    "bytes of Go": lambda value: "[" + " ".join(map(str, value.encode())) + "]",
    "percent thrice": lambda value: urllib.parse.quote(urllib.parse.quote(percent_all(value))),
    "entities of names": lambda value: "".join(html_name(letter) for letter in value),
    "escape of JavaScript": lambda value: "".join(
        f"%u{ord(letter):04X}" for letter in value if ord(letter) < 65536
    ),
}
"""Written with separators, in two encodings, or as numbers."""


def fold(text: str, width: int) -> str:
    return "\n".join(text[at : at + width] for at in range(0, len(text), width))


def wrapped_64(text: str, width: int) -> str:
    return fold(standard_64(text), width)


def html_name(letter: str) -> str:
    name = html.entities.codepoint2name.get(ord(letter))
    return f"&{name};" if name else letter


LONGER_VALUES = st.text(
    st.characters(codec="ascii", min_codepoint=33, max_codepoint=126), min_size=9, max_size=60
)


@pytest.mark.parametrize("writing", SEPARATED)
@settings(max_examples=25)
@given(value=LONGER_VALUES.filter(lambda value: "*" not in value and len(set(value)) > 4))
def test_no_separator_and_no_second_encoding_shows_a_secret(writing: str, value: str) -> None:
    written = SEPARATED[writing](value)
    masked = Masker([value]).mask_text(f"é {written} é")
    assert "***" in masked
    assert len(masked) <= len(written) - len(value) + 8
    if writing.startswith("lines"):
        assert Masker([value]).mask_json(written.encode()) == b'"***"'


@given(LONGER_VALUES, st.integers(0, 90), st.sampled_from([60, 64, 70, 76]))
def test_of_wrapped_base64_nothing_of_the_secret_is_left(value: str, lead: int, width: int) -> None:
    masked = Masker([value]).mask_text(wrapped_64("\0" * lead + value + "\0" * 90, width))
    kept = masked.replace("\n", "").replace("***", "")
    # A character with bits of the secret's first or last byte may be left, beyond a line break.
    assert len(kept.strip("=").replace("A", "")) <= 2


ESCAPES = [
    "percent_all",
    "encode_uri",
    "escape_all",
    "escape_bytes",
    "escape_octal",
    "json",
    "html",
    "quote",
    "entities",
]


@given(
    st.text(st.sampled_from("ab1 %&\\\"'<+/é4"), min_size=6, max_size=30).map(str.strip),
    st.sampled_from(ESCAPES),
    st.sampled_from([*ESCAPES, "plain"]),
    st.lists(st.sampled_from(["%41", "\\x41", "&amp;", "\\", "%", "&", "x", " "]), max_size=3).map("".join),
)
def test_what_a_naive_search_behind_each_escape_finds_is_masked(
    value: str, inner: str, outer: str, around: str
) -> None:
    """The oracle decodes one kind of escape after the other and looks for the value as it is."""
    if len(value) < 6 or len(set(value)) < 3:
        return
    text = around + WRITINGS[outer](around + WRITINGS[inner](value) + around) + around
    masked = Masker([value]).mask_text(text)
    assert not [one for one in escapes_decoded(masked) if value in one], (text, masked)


def escapes_decoded(text: str) -> set[str]:
    found = {text}
    for _ in range(2):
        found |= {urllib.parse.unquote(one, errors="replace") for one in found}
        found |= {html.unescape(one) for one in found}
        found |= {re.sub(r"\\([\"'\\\\/])", r"\1", one) for one in found}
    return found


ALPHABETS = (
    st.characters(codec="ascii", min_codepoint=33, max_codepoint=126),
    st.characters(codec="ascii", categories=["Lu", "Ll", "Nd"]),
    st.characters(exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"]),
)
VALUES = st.one_of(*(st.text(alphabet, min_size=4, max_size=40) for alphabet in ALPHABETS)).filter(
    lambda value: "*" not in value and len(value.strip()) >= 4
)
AROUND = st.sampled_from(["", " ", "token=", '{"a": "', "é", "x\t", "Bearer ", "#", "=", "\n"])


@pytest.mark.parametrize("writing", WRITINGS)
@settings(max_examples=25)
@given(value=VALUES, before=AROUND, after=AROUND)
def test_a_secret_is_hidden_whole_in_every_writing(writing: str, value: str, before: str, after: str) -> None:
    written = WRITINGS[writing](value)
    masked = Masker([value]).mask_text(f"{before}{written}{after}")
    assert "***" in masked
    head, _, tail = masked.partition("***")
    assert head.startswith(before.rstrip("="))
    tail = tail.rpartition("***")[2]
    # What is left of the writing is the frame it puts around any value, with none of its letters.
    other = WRITINGS[writing]("\U0001f600" if value.isascii() else "0000")
    kept = head[len(before) :] + (tail.removesuffix(after))
    assert len(kept) <= max(len(other), 30)
    assert not [one for one in decodings(kept) if any(value[i : i + 4] in one for i in range(len(value) - 3))]


@given(st.lists(VALUES, min_size=1, max_size=6), st.data())
def test_any_number_of_secrets_side_by_side_are_all_hidden(values: list[str], data: st.DataObject) -> None:
    masker = Masker(values)
    text = "".join(value + data.draw(st.sampled_from(["", " ", "-"])) for value in values)
    masked = masker.mask_text(text)
    assert not [value for value in values if value in masked]
    assert set(masked) <= set("* -")


@given(st.text(max_size=60), VALUES)
def test_text_without_the_secret_stays_as_it_is(text: str, value: str) -> None:
    masker = Masker([value + "0123456789abcdef"])
    assert masker.mask_text(text) == text


@pytest.mark.parametrize("writing", WRITINGS)
@settings(max_examples=25)
@given(value=VALUES, data=st.data())
def test_a_line_that_was_cut_anywhere_ends_before_the_secret(
    writing: str, value: str, data: st.DataObject
) -> None:
    written = WRITINGS[writing](value)
    cut = data.draw(st.integers(1, len(written)))
    masked = Masker([value]).mask_text("log: " + written[:cut], Truncation.AT_LIMIT)
    shown = masked.removeprefix("log: ").partition("***")[0]
    assert written.startswith(shown)
    decoded = decodings(shown)
    assert not [one for one in decoded if reveals(one, value)], (written[:cut], masked)


@pytest.mark.parametrize("value", ["0¡¡¡¡¡\U00010000", "s3\U0001f600cr\U0001f600t\U0001f600"])
@pytest.mark.parametrize("writing", WRITINGS)
def test_no_cut_within_an_escape_shows_what_is_before_it(writing: str, value: str) -> None:
    written = "log: " + WRITINGS[writing](value)
    masker = Masker([value])
    for cut in range(len(written) + 1):
        masked = masker.mask_text(written[:cut], Truncation.AT_LIMIT)
        assert not [one for one in decodings(masked.partition("***")[0]) if reveals(one, value)], (
            cut,
            masked,
        )


def decodings(text: str) -> set[str]:
    found = {text}
    for _ in range(3):
        found |= {urllib.parse.unquote_plus(one, errors="ignore") for one in found}
        found |= {html.unescape(one) for one in found}
        found |= {one.encode("utf-8", "ignore").decode("unicode_escape", "ignore") for one in found}
    for one in list(found):
        word = one.rpartition(" ")[2].rpartition('"')[2].rpartition("=")[2]
        for skip in range(4):
            usable = word[skip:]
            usable = usable[: len(usable) // 4 * 4].replace("-", "+").replace("_", "/")
            try:
                found.add(base64.b64decode(usable, validate=True).decode("latin-1"))
            except ValueError:
                continue
    return found


def reveals(text: str, value: str) -> bool:
    """Whether the text ends in the beginning of the value, four characters or more of it."""
    return any(text.endswith(value[:size]) for size in range(4, len(value) + 1))


@given(VALUES, st.data())
def test_an_open_end_hides_the_beginning_of_a_secret_but_not_a_letter_of_it(
    value: str, data: st.DataObject
) -> None:
    size = data.draw(st.integers(4, len(value)))
    assert Masker([value]).mask_text("x " + value[:size], Truncation.MID_LINE) == "x ***"


def test_the_end_of_an_open_line_stays_where_it_only_begins_alike() -> None:
    assert Masker(["5-secret"]).mask_text("took 15", Truncation.MID_LINE) == "took 15"
    assert Masker(["5-secret"]).mask_text("took 15", Truncation.AT_LIMIT) == "took 1***"


PEM = "-----BEGIN KEY-----\nMIIEvQIBADANBgkq\nhkiG9w0BAQEFAASC\nshort\n-----END KEY-----\n"


def test_each_long_line_of_a_secret_is_hidden_by_itself() -> None:
    masker = Masker([PEM])
    assert masker.mask_text(PEM) == "***\n"
    for line in PEM.splitlines():
        if len(line) >= 8:
            assert masker.mask_text(f"  key: {line},") == "  key: ***,"
    assert masker.mask_text("short") == "short"
    assert masker.mask_text(json.dumps(PEM.strip())) == '"***"'
    assert "MIIE" not in masker.mask_text(json.dumps({"k": PEM}))


def test_what_a_json_secret_holds_is_hidden_by_itself() -> None:
    secret = json.dumps({"type": "key", "private_key": PEM, "nested": [{"id": "client-0815"}]})
    masker = Masker([secret])
    assert masker.mask_text("id client-0815") == "id ***"
    assert masker.mask_text("hkiG9w0BAQEFAASC") == "***"
    output = masker.mask_json(json.dumps(json.loads(secret)).encode())
    assert "MIIE" not in output.decode()
    assert "client" not in output.decode()


def test_white_space_around_a_value_does_not_help_it_out() -> None:
    masker = Masker(["  hunter2-value\n"])
    assert masker.mask_text("is hunter2-value!") == "is ***!"
    assert masker.mask_text(base64.b64encode(b"hunter2-value").decode()) == "***"


@pytest.mark.parametrize("width", [64, 76])
def test_base64_wrapped_into_lines_is_hidden_line_by_line(width: int) -> None:
    value = "".join(chr(33 + n * 7 % 90) for n in range(200))
    text = base64.b64encode(value.encode() + b"\n").decode()
    masker = Masker([value])
    for at in range(0, len(text) - width, width):
        assert masker.mask_text(text[at : at + width]) == "***"


def test_a_buffer_that_node_shows_is_hidden() -> None:
    value = "a-long-secret-" * 6
    shown = f"<Buffer {value.encode()[:50].hex(' ')} ... 34 more bytes>"
    assert Masker([value]).mask_text(shown) == "<Buffer *** ... 34 more bytes>"


def test_latin_1_is_hidden_too() -> None:
    """Basic authentication and btoa encode it so."""
    masker = Masker(["pässwörd-x"])
    assert "***" in masker.mask_text(base64.b64encode("user:pässwörd-x".encode("latin-1")).decode())
    assert masker.mask("pässwörd-x".encode("latin-1")) == b"***"


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@given(JSON_VALUES, VALUES)
def test_json_without_a_secret_stays_as_it_is(document: object, value: str) -> None:
    text = json.dumps(document).encode()
    assert Masker([value + "0123456789abcdef"]).mask_json(text) == text


@given(JSON_VALUES, VALUES, st.booleans(), st.sampled_from(list(WRITINGS)))
def test_json_with_a_secret_anywhere_stays_json_and_shows_none(
    document: object, value: str, unicode: bool, writing: str
) -> None:
    written = WRITINGS[writing](value)
    whole = {"a": [document, f"is {written}!"], f"key {written}": {"x": written}, "kept": "kept"}
    masked = Masker([value]).mask_json(json.dumps(whole, ensure_ascii=unicode).encode())
    read = msgspec.json.decode(masked)
    assert value not in json.dumps(read, ensure_ascii=False)
    assert written not in json.dumps(read, ensure_ascii=False)
    if read != "***":  # a document that holds it by chance, across its parts, is hidden whole
        assert list(read)[2] == "kept"


@pytest.mark.parametrize(
    ("value", "document", "masked"),
    [
        ("12345678", b'{"a": 12345678}', b'{"a": "***"}'),
        ("12345678", b'[1.0, -123456789.5, "x"]', b'[1.0, "***", "x"]'),
        ("true", b'{"a": true}', b'"***"'),
        ('x","y', b'["x","y"]', b'"***"'),
        ("abcd", b'{"abcd": 1, "abcd": 2}', b'{"***": 1, "***": 2}'),
        ("abcd", b'"\\u0061\\u0062cd\\n"', b'"***\\n"'),
        ("abcd", b"123456789012345678901234567890.00", b"123456789012345678901234567890.00"),
    ],
)
def test_json_is_hidden_by_token_and_else_left_alone(value: str, document: bytes, masked: bytes) -> None:
    assert Masker([value]).mask_json(document) == masked


def test_many_and_long_secrets_take_bounded_time() -> None:
    """The time of a line does not grow with the number of lines of a secret."""
    lines = "\n".join(f"{n:06d}-{n * 7919 % 1000:03d}-line" for n in range(3000))
    same = "\n".join(f"the same beginning {n}" for n in range(2000))
    masker = Masker([lines, same, *(f"{n}" + "x" * 60_000 for n in range(10, 30))])
    text = masker.mask_text("a 000042-598-line b")
    assert text == "a *** b"
    assert masker.mask_text("a the same beginning 77 b\nnext") == "a ***\nnext"
    assert masker.mask_text("cut 000042-5", Truncation.AT_LIMIT) == "cut ***"
    assert masker.mask_text("cut 0000", Truncation.AT_LIMIT) == "cut ***"
    hostile = b"x" * 8_000 + b'\\"%41&#65;' * 800
    assert masker.mask(hostile) == hostile


def test_a_masker_does_not_show_what_it_hides() -> None:
    assert "hunter2" not in repr(Masker(["hunter2-value"]))


def test_nothing_to_hide_changes_nothing() -> None:
    assert Masker([]).mask(b"a \\u0041 %41 ", Truncation.MID_LINE) == b"a \\u0041 %41 "
    assert Masker(["", "  "]).mask_json(b'{"a": ""}') == b'{"a": ""}'
