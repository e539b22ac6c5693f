"""Parse a template and the templates that it defines."""

from collections.abc import Callable, Collection, Mapping
from typing import Final, TypeAlias

from runwright.gotemplate.lexer import Token, TokenKind
from runwright.gotemplate.literals import unquote
from runwright.gotemplate.nodes import (
    ActionNode,
    Body,
    BreakNode,
    ContinueNode,
    IfNode,
    RangeNode,
    Statement,
    TemplateNode,
    TextNode,
    WithNode,
)
from runwright.gotemplate.pipelines import parse_pipeline
from runwright.gotemplate.token_stream import TokenStream

MAIN: Final = ""
"""The name of the outermost template."""

_NOTHING: Final = frozenset[str]()
_END: Final = frozenset({"end"})
_ELSE: Final = frozenset({"end", "else"})
_Branching: TypeAlias = type[IfNode] | type[WithNode] | type[RangeNode]
_BRANCHES: Final[dict[str, _Branching]] = {"if": IfNode, "with": WithNode, "range": RangeNode}


def parse(source: str) -> Mapping[str, Body]:
    """Return the templates of a source by name. Raises TemplateError if it is malformed."""
    parser = _Parser(TokenStream(source))
    body, _ = parser.body(_NOTHING, top=True)
    return parser.templates | {MAIN: body}


class _Parser:
    def __init__(self, stream: TokenStream) -> None:
        self.templates: dict[str, Body] = {}
        self._stream = stream
        self._statements: dict[str, Callable[[Token], Statement]] = {
            "template": self._include,
            "block": self._block,
            "break": self._leave,
            "continue": self._leave,
        }

    def body(self, ends: Collection[str], *, top: bool = False) -> tuple[Body, Token]:
        """Parse statements up to one of these words, which is consumed and returned, or up to the end."""
        statements: list[Statement] = []
        while True:
            token = self._stream.take()
            if token.kind is TokenKind.END and ends:
                raise self._stream.problem(token, "unexpected EOF")
            if token.kind is TokenKind.END:
                return tuple(statements), token
            if token.kind is TokenKind.OUTSIDE:
                if token.text:
                    statements.append(TextNode(line=token.line, text=token.text))
                continue
            word = self._stream.skip_space()
            if word.kind is TokenKind.WORD and word.text in ends:
                return tuple(statements), self._stream.take()
            if top and word.text == "define":
                self._define()
            else:
                statements.append(self._statement(word))

    def _statement(self, word: Token) -> Statement:
        name = word.text if word.kind is TokenKind.WORD else ""
        if name in {"end", "else", "define"}:
            raise self._stream.problem(word, f"unexpected {{{{{name}}}}}")
        if name in _BRANCHES:
            self._stream.take()
            with self._stream.deeper(), self._stream.scope():
                return self._branch(word)
        if name in self._statements:
            self._stream.take()
            return self._statements[name](word)
        pipeline = parse_pipeline(self._stream, "command")
        self._stream.close("command")
        return ActionNode(line=word.line, source=pipeline.source, pipeline=pipeline)

    def _branch(self, word: Token) -> Statement:
        pipeline = parse_pipeline(self._stream, word.text)
        self._stream.close(word.text)
        loop = word.text == "range"
        self._stream.loops += loop
        with self._stream.scope():
            body, end = self.body(_ELSE)
        self._stream.loops -= loop
        otherwise = self._otherwise(word) if end.text == "else" else ()
        if end.text == "end":
            self._stream.close("end")
        node = _BRANCHES[word.text]
        return node(line=word.line, source=pipeline.source, pipeline=pipeline, body=body, otherwise=otherwise)

    def _otherwise(self, word: Token) -> Body:
        """Parse the rest of an `else`, which may begin with a condition of the same kind."""
        following = self._stream.skip_space()
        if word.text in {"if", "with"} and following.text == word.text:
            self._stream.take()
            with self._stream.deeper():
                return (self._branch(following),)  # the two share one end
        self._stream.close("else")
        with self._stream.scope():
            body, _ = self.body(_END)
        self._stream.close("end")
        return body

    def _define(self) -> None:
        word = self._stream.take()
        name = self._name("define clause")
        self._stream.close("define clause")
        self._add(word, name)

    def _add(self, word: Token, name: str) -> None:
        with self._stream.deeper(), self._stream.isolated_body():
            body, _ = self.body(_END)
        self._stream.close("end")
        if name in self.templates or name == MAIN:
            raise self._stream.problem(word, f"template: multiple definition of template {name[:80]!r}")
        self.templates[name] = body

    def _include(self, word: Token) -> Statement:
        name = self._name("template clause")
        token = self._stream.skip_space()
        pipeline = None
        if token.kind is not TokenKind.CLOSE:
            pipeline = parse_pipeline(self._stream, "template clause")
        self._stream.close("template clause")
        return TemplateNode(line=word.line, name=name, pipeline=pipeline)

    def _block(self, word: Token) -> Statement:
        name = self._name("block clause")
        pipeline = parse_pipeline(self._stream, "block clause")
        self._stream.close("block clause")
        self._add(word, name)
        return TemplateNode(line=word.line, name=name, pipeline=pipeline)

    def _leave(self, word: Token) -> Statement:
        if not self._stream.loops:
            raise self._stream.problem(word, f"{{{{{word.text}}}}} outside {{{{range}}}}")
        self._stream.close(word.text)
        return BreakNode(line=word.line) if word.text == "break" else ContinueNode(line=word.line)

    def _name(self, context: str) -> str:
        token = self._stream.skip_space()
        if token.kind is not TokenKind.TEXT:
            raise self._stream.unexpected(token, context)
        self._stream.take()
        return unquote(token.text)
