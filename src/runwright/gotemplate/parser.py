"""Parse a template and the templates that it defines: blocks, pipelines, commands and their operands."""

from collections.abc import Callable, Collection, Mapping
from typing import Final, TypeAlias

from runwright.gotemplate.functions import FUNCTIONS
from runwright.gotemplate.lexer import Token, TokenKind, TokenStream
from runwright.gotemplate.literals import character, number, unquote
from runwright.gotemplate.nodes import (
    ActionNode,
    Body,
    BreakNode,
    CommandNode,
    ContinueNode,
    DotNode,
    FieldNode,
    FunctionNode,
    IfNode,
    LiteralNode,
    NilNode,
    Operand,
    PipelineNode,
    RangeNode,
    Statement,
    TemplateNode,
    TextNode,
    VariableNode,
    WithNode,
)

MAIN: Final = ""
"""The name of the outermost template."""

KEYWORDS: Final = frozenset(
    {"block", "break", "continue", "define", "else", "end", "if", "range", "template", "with"}
)
_TRUTH: Final = {"true": True, "false": False}
_RANGE_VARIABLES: Final = 2
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
        pipeline = _pipeline(self._stream, "command")
        self._stream.close("command")
        return ActionNode(line=word.line, source=pipeline.source, pipeline=pipeline)

    def _branch(self, word: Token) -> Statement:
        pipeline = _pipeline(self._stream, word.text)
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
            pipeline = _pipeline(self._stream, "template clause")
        self._stream.close("template clause")
        return TemplateNode(line=word.line, name=name, pipeline=pipeline)

    def _block(self, word: Token) -> Statement:
        name = self._name("block clause")
        pipeline = _pipeline(self._stream, "block clause")
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


def _pipeline(stream: TokenStream, context: str) -> PipelineNode:
    """Parse a pipeline, up to the end of the action or parenthesis, which is not consumed."""
    first = stream.skip_space()
    with stream.deeper():
        variables, declares = _variables(stream, context)
        commands = [_command(stream, context, stage=1)]
        while (token := stream.skip_space()).text == "|" and token.kind is TokenKind.MARK:
            stream.take()
            commands.append(_command(stream, context, stage=len(commands) + 1))
    if declares:
        stream.variables.extend(variables)
    last = stream.peek()
    if last.kind is not TokenKind.CLOSE and last.text != ")":
        raise stream.unexpected(last, context)
    return PipelineNode(
        line=first.line,
        source=stream.source[first.start : last.start].strip(),
        commands=tuple(commands),
        variables=variables,
        declares=declares,
    )


def _variables(stream: TokenStream, context: str) -> tuple[tuple[str, ...], bool]:
    """Parse `$x :=`, `$x =` and, in a range, `$i, $x :=`; nothing is consumed without a declaration."""
    names: list[str] = []
    ahead = 0
    while stream.peek(ahead).kind is TokenKind.VARIABLE:
        names.append(stream.peek(ahead).text)
        ahead += 1
        ahead += stream.peek(ahead).kind is TokenKind.SPACE
        mark = stream.peek(ahead).text
        ahead += 1
        if mark in {":=", "="}:
            return _named(stream, names, ahead, context, declares=mark == ":=")
        if mark != "," or context != "range":
            break
        ahead += stream.peek(ahead).kind is TokenKind.SPACE
    return (), False


def _named(
    stream: TokenStream, names: list[str], ahead: int, context: str, *, declares: bool
) -> tuple[tuple[str, ...], bool]:
    token = stream.peek()
    if len(names) > (_RANGE_VARIABLES if context == "range" else 1):
        raise stream.problem(token, f"too many declarations in {context}")
    for name in names:
        if name == "$" or not (declares or name in stream.variables):
            raise stream.problem(token, f"undefined variable {name!r}")
    for _ in range(ahead):
        stream.take()
    return tuple(names), declares


def _command(stream: TokenStream, context: str, *, stage: int) -> CommandNode:
    first = stream.skip_space()
    words: list[Operand] = []
    while (operand := _operand(stream, context)) is not None:
        words.append(operand)
        following = stream.peek()
        if following.kind is TokenKind.SPACE:
            stream.skip_space()
        elif following.kind is not TokenKind.CLOSE and following.text not in {"|", ")"}:
            raise stream.problem(following, f"unexpected {following.text[:40]!r} in operand; missing space?")
    source = stream.source[first.start : stream.peek().start].strip()
    _check_command(stream, first, words, stage=stage, context=context)
    return CommandNode(line=first.line, source=source, words=tuple(words))


def _check_command(
    stream: TokenStream, first: Token, words: list[Operand], *, stage: int, context: str
) -> None:
    if not words:
        raise stream.problem(first, f"missing value for {context}")
    head = words[0]
    if isinstance(head, FunctionNode):
        return
    if stage > 1 and isinstance(head, LiteralNode | NilNode | DotNode):
        raise stream.problem(first, f"non executable command in pipeline stage {stage}")
    if stage > 1 or len(words) > 1:
        raise stream.problem(first, f"can't give argument to non-function {head.source[:80]}")
    if isinstance(head, NilNode):
        raise stream.problem(first, "nil is not a command")


def _operand(stream: TokenStream, context: str) -> Operand | None:
    """Parse a term and the fields that follow it directly."""
    first = stream.peek()
    term = _term(stream, context)
    names: list[str] = []
    while term is not None and stream.peek().kind is TokenKind.FIELD:
        names.append(stream.take().text.removeprefix("."))
    if not names or term is None:
        return term
    if isinstance(term, LiteralNode | NilNode | DotNode | FunctionNode):
        raise stream.problem(first, f"unexpected . after term {term.source[:80]!r}")
    source = stream.source[first.start : stream.peek().start]
    if isinstance(term, FieldNode):
        return FieldNode(line=first.line, source=source, base=term.base, names=(*term.names, *names))
    return FieldNode(line=first.line, source=source, base=term, names=tuple(names))


def _term(stream: TokenStream, context: str) -> Operand | None:
    token = stream.peek()
    line, source = token.line, token.text
    match token.kind:
        case TokenKind.TEXT:
            operand: Operand = LiteralNode(line=line, source=source, value=unquote(source))
        case TokenKind.CHARACTER:
            operand = LiteralNode(line=line, source=source, value=character(source))
        case TokenKind.NUMBER:
            operand = LiteralNode(line=line, source=source, value=number(source))
        case TokenKind.DOT:
            operand = DotNode(line=line, source=source)
        case TokenKind.FIELD:
            base = DotNode(line=line, source=source)
            operand = FieldNode(line=line, source=source, base=base, names=(source.removeprefix("."),))
        case TokenKind.VARIABLE:
            operand = _variable(stream, token)
        case TokenKind.WORD:
            operand = _word(stream, token, context)
        case TokenKind.MARK if source == "(":
            return _parenthesis(stream)
        case _:
            return None
    stream.take()
    return operand


def _variable(stream: TokenStream, token: Token) -> VariableNode:
    if token.text not in stream.variables:
        raise stream.problem(token, f"undefined variable {token.text[:80]!r}")
    return VariableNode(line=token.line, source=token.text, name=token.text)


def _word(stream: TokenStream, token: Token, context: str) -> Operand:
    word = token.text
    if word in _TRUTH:
        return LiteralNode(line=token.line, source=word, value=_TRUTH[word])
    if word == "nil":
        return NilNode(line=token.line, source=word)
    if word in KEYWORDS:
        raise stream.unexpected(token, context)
    if word not in FUNCTIONS:
        raise stream.problem(token, f"function {word[:80]!r} not defined")
    return FunctionNode(line=token.line, source=word, name=word)


def _parenthesis(stream: TokenStream) -> PipelineNode:
    stream.take()
    pipeline = _pipeline(stream, "parenthesized pipeline")
    token = stream.peek()
    if token.text != ")":
        raise stream.unexpected(token, "parenthesized pipeline")
    stream.take()
    return pipeline
