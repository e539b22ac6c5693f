"""Which events a filter matches, and what is no filter."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwright.core.event_filters import FilterError, compile_filter
from runwright.core.template_context import Json, TemplateContext

ACTIVATION = TemplateContext(
    kind="webhook",
    scope="workspace",
    workspace_id="ws1",
    source="webhook",
    data={
        "ref": "refs/heads/main",
        "repo": {
            "name": "x",
            "private": False,
            "stars": 1_000_000,
            "ratio": 1.50,
            "owner": None,
            "topics": ["a"],
        },
        "big": 12_345_678_901_234_567_890,
        "huge": 1e21,
        "tiny": 0.000_000_1,
        "zero": -0.0,
        "spaced": " x ",
        "a.b": "unreachable",
        "": "blank",
    },
)


@pytest.mark.parametrize(
    ("mapping", "matches"),
    [
        ({}, True),
        ({"kind": "webhook"}, True),
        ({"kind": "Webhook"}, False),
        ({"scope": "workspace", "workspace_id": "ws1", "source": "webhook"}, True),
        ({"scope": "workspace", "workspace_id": "ws2"}, False),
        ({"data.ref": "refs/heads/main"}, True),
        ({"data.ref": "  refs/heads/main "}, True),
        ({"data.spaced": "x"}, False),
        ({" data . repo . name ": "x"}, True),
        ({"data.repo.private": "false"}, True),
        ({"data.repo.stars": "1000000"}, True),
        ({"data.repo.stars": "1e6"}, False),
        ({"data.repo.ratio": "1.5"}, True),
        ({"data.repo.ratio": ">=1"}, False),
        ({"data.big": "12345678901234567890"}, True),
        ({"data.huge": "1000000000000000000000"}, True),
        ({"data.tiny": "0.0000001"}, True),
        ({"data.zero": "0"}, True),
        ({"data.repo.owner": "null"}, False),
        ({"data.repo.owner": "None"}, False),
        ({"data.repo": "x"}, False),
        ({"data.repo.topics": "a"}, False),
        ({"data.repo.topics.0": "a"}, False),
        ({"data.repo.name.x": "x"}, False),
        ({"data.missing": "x"}, False),
        ({"data.a.b": "unreachable"}, False),
    ],
)
def test_every_condition_has_to_be_met_exactly(mapping: dict[str, str], matches: bool) -> None:
    assert compile_filter(mapping).matches(ACTIVATION) is matches


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"payload.agent": "x"}, '["payload.agent"]: unsupported filter path "payload.agent"'),
        ({"data": "x"}, '["data"]: unsupported filter path "data"'),
        ({"data..b": "x"}, '["data..b"]: unsupported filter path "data..b"'),
        ({"data.a. ": "x"}, '["data.a. "]: unsupported filter path "data.a. "'),
        ({"kind.x": "x"}, '["kind.x"]: unsupported filter path "kind.x"'),
        ({"": "x"}, '[""]: unsupported filter path ""'),
        ({"Kind": "x"}, '["Kind"]: unsupported filter path "Kind"'),
        ({"kind": "  "}, '["kind"] must not be empty'),
        ({f"data.k{number}": "x" for number in range(65)}, " must have at most 64 entries"),
    ],
)
def test_what_is_no_filter_is_said(mapping: dict[str, str], message: str) -> None:
    with pytest.raises(FilterError) as refused:
        compile_filter(mapping)
    assert refused.value.message == message


NAMES = st.text(min_size=1).filter(lambda name: "." not in name and name == name.strip() and name)


@given(st.lists(NAMES, min_size=1, max_size=5), st.text(min_size=1).filter(str.strip))
def test_what_is_put_somewhere_is_found_there_and_nowhere_else(path: list[str], text: str) -> None:
    data: Json = text.strip()
    for name in reversed(path):
        data = {name: data}
    assert isinstance(data, dict)
    undecoded = msgspec.json.decode(msgspec.json.encode(data), type=dict[str, msgspec.Raw])
    activation = TemplateContext(kind="k", scope="global", source="s", data=data)
    lazy = TemplateContext(kind="k", scope="global", source="s", data=undecoded)
    key = "data." + ".".join(path)
    assert compile_filter({key: text}).matches(activation)
    assert not compile_filter({key: text + "!"}).matches(activation)
    assert not compile_filter({key + ".more": text}).matches(activation)
    for _ in range(2):  # from JSON text, and from what was decoded of it
        assert compile_filter({key: text}).matches(lazy)
        assert not compile_filter({key + ".more": text}).matches(lazy)
    assert msgspec.json.decode(msgspec.json.encode(lazy)) == msgspec.json.decode(
        msgspec.json.encode(activation)
    )


@pytest.mark.parametrize("text", [b"[1]", b"1e999", b"null", b"{}"])
def test_json_text_that_is_no_scalar_matches_nothing(text: bytes) -> None:
    activation = TemplateContext(kind="k", scope="global", source="s", data={"a": msgspec.Raw(text)})
    assert not compile_filter({"data.a": text.decode()}).matches(activation)


@given(st.integers(-(10**6), 10**6))
def test_a_number_is_compared_in_plain_decimals(number: int) -> None:
    eighths = number / 8
    activation = TemplateContext(
        kind="k", scope="global", source="s", data={"n": number * 10**20, "f": eighths}
    )
    assert compile_filter({"data.n": str(number * 10**20), "data.f": f"{eighths:.12g}"}).matches(activation)
