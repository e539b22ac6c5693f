"""The tokens of a template as its parser goes through them."""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from runwright.gotemplate.errors import TemplateError
from runwright.gotemplate.lexer import Kind, Token, tokens_of

MOST_NESTED: Final = 64


class Stream:
    """What is still to be parsed, and how deep and among which variables that is."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.variables = ["$"]
        self.loops = 0
        self._tokens = tokens_of(source)
        self._ahead: deque[Token] = deque()
        self._nested = 0

    def peek(self, ahead: int = 0) -> Token:
        """Return a token without taking it; behind the last one is the last one."""
        while len(self._ahead) <= ahead:
            self._ahead.append(next(self._tokens, None) or self._ahead[-1])
        return self._ahead[ahead]

    def take(self) -> Token:
        """Take the next token."""
        token = self.peek()
        if token.kind is not Kind.END:
            self._ahead.popleft()
        return token

    def skip_space(self) -> Token:
        """Take white space off; returns the token that is then next."""
        while self.peek().kind is Kind.SPACE:
            self.take()
        return self.peek()

    def close(self, context: str) -> None:
        """Take the end of an action."""
        token = self.skip_space()
        if token.kind is not Kind.CLOSE:
            raise self.unexpected(token, context)
        self.take()

    @contextmanager
    def deeper(self) -> Iterator[None]:
        """Bound how deep blocks and parentheses are nested."""
        self._nested += 1
        if self._nested > MOST_NESTED:
            raise self.problem(self.peek(), f"more than {MOST_NESTED} levels deep")
        yield
        self._nested -= 1

    @contextmanager
    def scope(self) -> Iterator[None]:
        """Forget the variables that are declared meanwhile."""
        known = len(self.variables)
        yield
        del self.variables[known:]

    @contextmanager
    def body_of_its_own(self) -> Iterator[None]:
        """Parse a template in a template: it sees neither variables nor loops around it."""
        outer = self.variables, self.loops
        self.variables, self.loops = ["$"], 0
        yield
        self.variables, self.loops = outer

    def problem(self, token: Token, text: str) -> TemplateError:
        return TemplateError(f"template: prompt:{token.line}: {text}")

    def unexpected(self, token: Token, context: str) -> TemplateError:
        if token.kind is Kind.END:
            return self.problem(token, f"unexpected EOF in {context}")
        return self.problem(token, f"unexpected {token.text[:40]!r} in {context}")
