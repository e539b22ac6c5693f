"""Following: being told of the end of something, once, in a transaction of one's own."""

from typing import Generic, TypeVar

import msgspec

End = TypeVar("End")


class CompletionCallback(msgspec.Struct, frozen=True):
    """A wish to be told of the end of `followed_id`: `kind` says who acts, `subject_id` what for."""

    followed_id: str
    kind: str
    subject_id: str


class DueCompletionCallback(msgspec.Struct, Generic[End], frozen=True):
    """A wish whose time has come, and the end that it is about."""

    wish: CompletionCallback
    end: End
