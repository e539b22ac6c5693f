"""Questions are read strictly and answered in the right form, whatever comes."""

import struct

from hypothesis import example, given
from hypothesis import strategies as st

from runwright.egress.dns import (
    AAAA,
    LARGEST_QUESTION,
    A,
    Code,
    Question,
    read_question,
    write_answer,
)


def query(name: bytes, kind: int = A, flags: int = 0x0100, count: int = 1) -> bytes:
    labels = b"".join(bytes([len(label)]) + label for label in name.split(b".")) if name else b""
    return (
        struct.pack("!6H", 7, flags, count, 0, 0, 1) + labels + b"\0" + struct.pack("!HH", kind, 1) + b"opt"
    )


def code_of(answer: bytes) -> int:
    return answer[3] & 15


def test_a_question_is_read_and_answered_with_its_own_words() -> None:
    question = read_question(query(b"ExAmple.COM"))
    assert isinstance(question, Question)
    assert (question.name, question.kind, question.internet) == ("example.com", A, True)
    answer = write_answer(question, Code.FINE, bytes([198, 18, 0, 1]))
    number, flags, questions, answers, _, _ = struct.unpack_from("!6H", answer)
    assert (number, flags, questions, answers) == (7, 0x8180, 1, 1)
    assert b"\x07ExAmple\x03COM\0" in answer
    assert answer.endswith(bytes([0, 4, 198, 18, 0, 1]))


def test_an_answer_without_an_address_has_none() -> None:
    question = read_question(query(b"example.com", AAAA))
    assert isinstance(question, Question)
    answer = write_answer(question, Code.NO_SUCH_NAME)
    assert struct.unpack_from("!6H", answer)[3] == 0
    assert code_of(answer) == Code.NO_SUCH_NAME


def test_broken_and_foreign_messages_are_refused_and_answers_are_not_answered() -> None:
    assert read_question(b"") is None
    assert read_question(b"x" * (LARGEST_QUESTION + 1)) is None
    assert read_question(query(b"a", flags=0x8100)) is None
    for broken, code in (
        (query(b"a", count=2), Code.FORMAT_ERROR),
        (query(b"a", count=0), Code.FORMAT_ERROR),
        (query(b"a")[:14], Code.FORMAT_ERROR),
        (struct.pack("!6H", 7, 0, 1, 0, 0, 0) + b"\xc0\x0c\0\x01\0\x01", Code.FORMAT_ERROR),
        (struct.pack("!6H", 7, 0, 1, 0, 0, 0) + b"\x3f" + b"a" * 20, Code.FORMAT_ERROR),
        (query(b"a", flags=0x2000), Code.NOT_IMPLEMENTED),
    ):
        answer = read_question(broken)
        assert isinstance(answer, bytes)
        assert code_of(answer) == code


def test_names_that_are_none_are_known_as_such() -> None:
    for name in (b"", b"a b", b"\xff\xfe", b"a/b", b"-a"):
        question = read_question(query(name))
        assert isinstance(question, Question)
        assert question.name is None


@given(st.binary(max_size=600))
@example(struct.pack("!6H", 7, 0, 1, 0, 0, 0) + b"\x01a" * 300)
def test_no_message_breaks_the_reader(message: bytes) -> None:
    found = read_question(message)
    if isinstance(found, Question):
        assert message[:2] == write_answer(found, Code.FINE)[:2]
        assert len(write_answer(found, Code.FINE)) <= len(message)


@given(st.binary(min_size=1, max_size=300))
def test_no_name_of_a_well_formed_question_breaks_the_reader(tail: bytes) -> None:
    read_question(struct.pack("!6H", 1, 0x0100, 1, 0, 0, 0) + tail)
