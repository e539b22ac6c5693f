"""Entrypoints: relative paths of harmless characters."""

import pytest

from runwright.core.entrypoint import check_entrypoint


@pytest.mark.parametrize("path", ["main.py", "src/app-1/index.js", "@scope/a+b c.ts", "_x", "a" * 200])
def test_a_plain_relative_path_is_accepted(path: str) -> None:
    assert check_entrypoint(path) is None


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/etc/passwd",
        "../main.py",
        "a/../b",
        "a/./b",
        "a//b",
        "a/",
        " a",
        "-x",
        "a\0b",
        "a;b",
        "a\nb",
        "a" * 201,
    ],
)
def test_any_other_path_is_refused(path: str) -> None:
    assert check_entrypoint(path) == (
        "The entrypoint must be a relative path of letters, digits and . _ - @ +, without '..'"
    )
