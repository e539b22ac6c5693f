"""What one running job reports and asks for: checked, searched for secrets, passed on.

A call takes its place in the job's `TextQueue`: what the job wrote before is stored before, and a large value
is searched for secrets in a thread.
"""

import asyncio
from collections.abc import Callable
from functools import partial

import msgspec

from runwright.runtimes import protocol
from runwright.runtimes.handler_calls import (
    MESSAGE_CHARS,
    PROGRESS_BURST,
    PROGRESS_PER_SECOND,
    CallReceiver,
    EmitEvent,
    HandlerCall,
    ReportedProgress,
    SetState,
    StartJob,
    problem_of,
    read_progress,
    read_request,
    refusal,
    texts_of,
)
from runwright.runtimes.model import Assignment
from runwright.runtimes.pool.text_threads import TextQueue
from runwright.secrets.escape_decoding import Rest
from runwright.secrets.masking import Masker, Truncation


class HandlerCalls:
    """The calls of one assignment; made when it makes the first."""

    def __init__(
        self, assignment: Assignment, receiver: CallReceiver, masker: Masker | None, texts: TextQueue
    ) -> None:
        self._assignment = assignment
        self._receiver = receiver
        self._masker = masker
        self._texts = texts
        self._reports = 0
        self.asking = self.asked = False
        """Whether the job waits for the answer to a request, and whether it has made one."""

    def take_progress(self, content: bytes, seconds: float) -> str | None:
        """Report how far the job is after that many seconds; return how that breaks the protocol."""
        self._reports += 1
        if self._reports > PROGRESS_BURST + PROGRESS_PER_SECOND * seconds:
            return "progress too often"
        progress = read_progress(content)
        if isinstance(progress, str):
            return progress
        self._texts.add(
            0 if self._masker is None else len(content),
            partial(self._clean_progress, progress),
            partial(self._receiver.on_progress, self._assignment),
            otherwise=ReportedProgress(progress.fraction, None),
        )
        return None

    def _clean_progress(self, progress: ReportedProgress, rest: Rest) -> ReportedProgress:
        message = progress.message
        if message is None:
            return progress
        data = message.replace("\0", "\ufffd").encode("utf-8", "replace")
        if self._masker is not None:
            data = self._masker.mask(data, _truncation_of(message), rest=rest)
        return ReportedProgress(progress.fraction, data.decode("utf-8", "replace"))

    def take_request(self, payload: bytes, send: Callable[[bytes], None]) -> str | None:
        """Pass on a request; `send` sends its answer. Return how the payload breaks the protocol."""
        request = read_request(payload)
        if isinstance(request, str):
            return request
        if self.asking:
            return "a request before the answer to the one before"
        self.asking = self.asked = True
        number, call = request
        reply = partial(self._reply, send, number)
        problem = problem_of(call)
        if problem is not None:
            reply(refusal("invalid", problem))
            return None
        unsearched: HandlerCall | str = "The value could not be searched for secrets."
        self._texts.add(
            0 if self._masker is None else len(payload),
            partial(self._mask_call, call),
            partial(self._pass_on, reply),
            otherwise=unsearched,
        )
        return None

    def _reply(self, send: Callable[[bytes], None], number: int, content: bytes) -> None:
        # Not at once: the jobs that wait behind this one are first given to others.
        answer = protocol.answer_frame(self._assignment.id, number, content)
        asyncio.get_running_loop().call_soon(send, answer)

    def _mask_call(self, call: HandlerCall, rest: Rest) -> HandlerCall | str:
        """Return a call as it may be stored, or why it may not: secrets stay out of state and inputs."""
        masker = self._masker
        if masker is None or all(masker.mask(text, rest=rest) is text for text in texts_of(call)):
            return call
        if isinstance(call, SetState | StartJob):
            return "The call has a secret in it, and others could read what is stored."
        if isinstance(call, EmitEvent):
            payload = msgspec.Raw(masker.mask_json(bytes(call.payload), rest=rest))
            masked = msgspec.structs.replace(call, payload=payload)
            if all(masker.mask(text, rest=rest) is text for text in texts_of(masked)):
                return masked
        return "The name or the key has a secret in it."

    def _pass_on(self, reply: Callable[[bytes], None], call: HandlerCall | str) -> None:
        if isinstance(call, str):
            reply(refusal("secret", call))
        else:
            self._receiver.on_call(self._assignment, call, reply)


def _truncation_of(message: str) -> Truncation | None:
    """Return how a message may have been truncated, in characters or in units of UTF-16."""
    units = len(message.encode("utf-16-le", "replace")) // 2
    return Truncation.AT_LIMIT if units >= MESSAGE_CHARS else None
