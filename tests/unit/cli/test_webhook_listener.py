"""Where `webhooks listen` forwards to."""

import pytest

from runwright.cli.exits import UsageError
from runwright.cli.webhook_listener import local_url


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("3000", "http://127.0.0.1:3000/"),
        (":3000", "http://127.0.0.1:3000/"),
        ("3000/hook?x=1", "http://127.0.0.1:3000/hook?x=1"),
        ("localhost:3000/hook", "http://localhost:3000/hook"),
        ("https://dev.example.com/hook", "https://dev.example.com/hook"),
    ],
)
def test_a_port_means_this_machine(text: str, url: str) -> None:
    assert local_url(text) == url


@pytest.mark.parametrize("text", ["0", "70000", "", "ftp://host/", "no port", "http://"])
def test_what_is_no_port_and_no_url_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        local_url(text)
