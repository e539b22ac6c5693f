"""The stream of tokens that the parser reads."""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from runwright.gotemplate.errors import TemplateError
from runwright.gotemplate.lexer import Token, TokenKind, tokens_of

MOST_NESTED: Final = 64


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
