"""Tokenize templates (text, and the tokens of actions), and the stream of tokens that the parser reads."""

import re
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Final

import msgspec

from runwright.gotemplate.errors import TemplateError

MOST_NESTED: Final = 64
_SPACE: Final = " \t\r\n"
_COMMENT: Final = re.compile(r"(?:-[ \t\r\n]+)?/\*")
_WORD: Final = re.compile(
    r"(?P<close>[ \t\r\n]+-\}\}|\}\})"
    r"|(?P<space>[ \t\r\n]+)"
    r"|(?P<text>\"(?:[^\"\\\n]|\\.)*\"|`[^`]*`)"
    r"|(?P<character>'(?:[^'\\\n]|\\.)+')"
    r"|(?P<number>[+-]?(?:[0-9]|\.[0-9])(?:[0-9A-Za-z_.]|(?<=[eEpP])[+-])*)"
    r"|(?P<field>\.[^\W\d]\w*)"
    r"|(?P<dot>\.)"
    r"|(?P<variable>\$\w*)"
    r"|(?P<word>[^\W\d]\w*)"
    r"|(?P<mark>:=|[=|(),])"
)


class TokenKind(StrEnum):
    """The kind of a token."""

    OUTSIDE = "outside"
    OPEN = "open"
    CLOSE = "close"
    SPACE = "space"
    TEXT = "text"
    CHARACTER = "character"
    NUMBER = "number"
    FIELD = "field"
    DOT = "dot"
    VARIABLE = "variable"
    WORD = "word"
    MARK = "mark"
    END = "end"


_NAMES_AND_FIELDS: Final = {TokenKind.FIELD, TokenKind.VARIABLE, TokenKind.WORD}
_AFTER_NAME: Final = _SPACE + ".,|:=)("


class Token(msgspec.Struct, frozen=True):
    """A part of the source, with its position."""

    kind: TokenKind
    text: str
    line: int
    start: int
    end: int


def tokens_of(source: str) -> Iterator[Token]:
    """Yield the tokens of a source. Raises TemplateError if it is malformed."""
    cursor = _Cursor(source)
    while (action := source.find("{{", cursor.at)) >= 0:
        inside = action + 2
        trims = source[inside : inside + 1] == "-" and source[inside + 1 : inside + 2] in tuple(_SPACE)
        outside = source[cursor.at : action]
        yield cursor.cut(TokenKind.OUTSIDE, action, outside.rstrip(_SPACE) if trims else outside)
        if _COMMENT.match(source, inside):
            cursor.skip_comment(inside)
            continue
        yield cursor.cut(TokenKind.OPEN, inside + (2 if trims else 0))
        yield from _inside(cursor)
    yield cursor.cut(TokenKind.OUTSIDE, len(source))
    yield cursor.cut(TokenKind.END, len(source))


class _Cursor:
    """The current position in the source, and its line."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.at = 0
        self.line = 1

    def cut(self, kind: TokenKind, end: int, text: str | None = None) -> Token:
        piece = self.source[self.at : end]
        token = Token(kind, piece if text is None else text, self.line, self.at, end)
        self.line += piece.count("\n")
        self.at = end
        return token

    def trim(self) -> None:
        """Skip the white space that follows."""
        rest = self.at
        while rest < len(self.source) and self.source[rest] in _SPACE:
            rest += 1
        self.cut(TokenKind.SPACE, rest)

    def skip_comment(self, inside: int) -> None:
        end = self.source.find("*/", inside)
        if end < 0:
            raise self.problem("unclosed comment")
        close = re.compile(r"[ \t\r\n]+-\}\}|\}\}").match(self.source, end + 2)
        if close is None:
            raise self.problem("comment ends before closing delimiter")
        self.cut(TokenKind.SPACE, close.end())
        if close[0] != "}}":
            self.trim()

    def problem(self, text: str) -> TemplateError:
        return TemplateError(f"template: prompt:{self.line}: {text}")


def _inside(cursor: _Cursor) -> Iterator[Token]:
    """Yield the tokens of one action, including its closing braces."""
    source, parentheses = cursor.source, 0
    while True:
        found = _WORD.match(source, cursor.at)
        if found is None or found.lastgroup is None:
            raise _unknown(cursor)
        kind = TokenKind(found.lastgroup)
        if kind in _NAMES_AND_FIELDS and not _is_terminated(source, found.end()):
            raise cursor.problem(f"bad character {source[found.end()]!r}")
        parentheses += {"(": 1, ")": -1}.get(found[0], 0)
        if parentheses < 0:
            raise cursor.problem("unexpected right paren")
        if kind is TokenKind.CLOSE and parentheses:
            raise cursor.problem("unclosed left paren")
        yield cursor.cut(kind, found.end())
        if kind is TokenKind.CLOSE:
            if found[0] != "}}":
                cursor.trim()
            return


def _is_terminated(source: str, end: int) -> bool:
    following = source[end : end + 1]
    return not following or following in _AFTER_NAME or source.startswith("}}", end)


def _unknown(cursor: _Cursor) -> TemplateError:
    following = cursor.source[cursor.at : cursor.at + 1]
    if following in {'"', "`", "'"}:
        return cursor.problem("unterminated quoted string or character constant")
    if not following:
        return cursor.problem("unclosed action")
    return cursor.problem(f"unexpected {following!r} in an action")


class TokenStream:
    """The remaining tokens, with the depth and the variables of the current position."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.variables = ["$"]
        self.loops = 0
        self._tokens = tokens_of(source)
        self._ahead: deque[Token] = deque()
        self._nested = 0

    def peek(self, ahead: int = 0) -> Token:
        """Return a token without consuming it; after the last token, the last one again."""
        while len(self._ahead) <= ahead:
            self._ahead.append(next(self._tokens, None) or self._ahead[-1])
        return self._ahead[ahead]

    def take(self) -> Token:
        """Consume the next token."""
        token = self.peek()
        if token.kind is not TokenKind.END:
            self._ahead.popleft()
        return token

    def skip_space(self) -> Token:
        """Skip white space and return the next token."""
        while self.peek().kind is TokenKind.SPACE:
            self.take()
        return self.peek()

    def close(self, context: str) -> None:
        """Consume the end of an action."""
        token = self.skip_space()
        if token.kind is not TokenKind.CLOSE:
            raise self.unexpected(token, context)
        self.take()

    @contextmanager
    def deeper(self) -> Iterator[None]:
        """Limit the nesting of blocks and parentheses."""
        self._nested += 1
        if self._nested > MOST_NESTED:
            raise self.problem(self.peek(), f"more than {MOST_NESTED} levels deep")
        yield
        self._nested -= 1

    @contextmanager
    def scope(self) -> Iterator[None]:
        """Remove the variables that are declared in the scope at its end."""
        known = len(self.variables)
        yield
        del self.variables[known:]

    @contextmanager
    def isolated_body(self) -> Iterator[None]:
        """Hide the surrounding variables and loops while a nested template is parsed."""
        outer = self.variables, self.loops
        self.variables, self.loops = ["$"], 0
        yield
        self.variables, self.loops = outer

    def problem(self, token: Token, text: str) -> TemplateError:
        return TemplateError(f"template: prompt:{token.line}: {text}")

    def unexpected(self, token: Token, context: str) -> TemplateError:
        if token.kind is TokenKind.END:
            return self.problem(token, f"unexpected EOF in {context}")
        return self.problem(token, f"unexpected {token.text[:40]!r} in {context}")
