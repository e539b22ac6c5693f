"""Receiving bodies that are too large for memory: into files without names, a few at once.

A tenant's third upload waits for its first two, and all wait where the server has enough; who
has waited `WAIT_SECONDS` is told to try again. Meanwhile nothing of the body is read, so that
the sender waits too. The body must be whole within `upload_seconds`, and no gap in it may be
longer than `body_seconds`.

A body is the file itself, or a form (`multipart/form-data`) with the file and text fields.
"""

import asyncio
import contextlib
import io
import tempfile
from collections.abc import AsyncIterator, Collection, Mapping
from typing import IO, Any, Final, cast
from weakref import WeakValueDictionary

import msgspec
from litestar.connection import ASGIConnection
from litestar.types import Receive
from multipart import (  # type: ignore[import-untyped]  # it has annotations, but does not say so
    MultipartError,
    MultipartSegment,
    PushMultipartParser,
    parse_options_header,
)

from runwright.core.errors import MalformedError, UnavailableError
from runwright.http.body import read_into
from runwright.http.checks import Problems
from runwright.http.services import EdgeSettings
from runwright.workers.bundles.folders import make_private_folder

WAIT_SECONDS: Final = 30.0
_AT_ONCE: Final = 16
_AT_ONCE_PER_TENANT: Final = 2
_READ_BYTES: Final = 256 * 1024
_FORM: Final = "multipart/form-data"
_FORM_BYTES: Final = 64 * 1024
"""What a form may have beside its file."""

_FIELDS: Final = 20
_SHOWN: Final = 100


class Upload(msgspec.Struct, frozen=True):
    """A file that was sent, and the text fields that came with it."""

    file: IO[bytes]
    fields: dict[str, str]


class Uploads:
    """Receives the uploads of all tenants."""

    def __init__(self, edge: EdgeSettings) -> None:
        self._edge = edge
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._by_tenant: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    @contextlib.asynccontextmanager
    async def receive(
        self,
        tenant_id: str,
        headers: Mapping[bytes, bytes],
        receive: Receive,
        *,
        kinds: Collection[str],
        file_field: str,
        text_fields: Collection[str],
    ) -> AsyncIterator[Upload]:
        """Give the file of a request of one of these content types, or of a form's field."""
        kind, options = parse_options_header(headers.get(b"content-type", b"").decode("latin-1"))
        if kind not in {_FORM, *kinds}:
            raise MalformedError(f"The content type must be one of: {', '.join((*kinds, _FORM))}.")
        async with self._turn(tenant_id):
            folder = self._edge.spool_dir
            await asyncio.to_thread(make_private_folder, folder)
            with tempfile.TemporaryFile(dir=folder) as body:
                limit = self._edge.upload_limit_bytes + (_FORM_BYTES if kind == _FORM else 0)
                await read_into(body, headers, receive, self._edge, limit_bytes=limit)
                if kind != _FORM:
                    yield Upload(body, {})
                    return
                with tempfile.TemporaryFile(dir=folder) as file:
                    form = _Form(file, file_field=file_field, text_fields=text_fields)
                    await asyncio.to_thread(form.read, body, options.get("boundary", ""))
                    yield Upload(file, form.fields)

    @contextlib.asynccontextmanager
    async def _turn(self, tenant_id: str) -> AsyncIterator[None]:
        own = self._by_tenant.setdefault(tenant_id, asyncio.Semaphore(_AT_ONCE_PER_TENANT))
        async with contextlib.AsyncExitStack() as held:
            try:
                async with asyncio.timeout(WAIT_SECONDS):
                    await held.enter_async_context(own)
                    await held.enter_async_context(self._turns)
            except TimeoutError:
                raise UnavailableError("Too many uploads are under way; try again.") from None
            yield


class _Form:
    """The parts of a form; every bad field is told at once."""

    def __init__(self, file: IO[bytes], *, file_field: str, text_fields: Collection[str]) -> None:
        self.fields: dict[str, str] = {}
        self._file = file
        self._file_field = file_field
        self._text_fields = text_fields
        self._seen: set[str] = set()
        self._problems = Problems()
        self._name = ""
        self._part: IO[bytes] | None = None
        self._text = io.BytesIO()

    def read(self, body: IO[bytes], boundary: str) -> None:
        """Read a body; MalformedError where it is no form, InvalidError where its fields are wrong."""
        try:
            parser = PushMultipartParser(boundary, max_segment_count=_FIELDS)
            while not parser.closed:
                self._take(parser, body.read(_READ_BYTES))
        except (MultipartError, ValueError):
            raise MalformedError("The body cannot be read as multipart/form-data.") from None
        if self._file_field not in self._seen:
            self._problems.add(self._file_field, "Is required.")
        self._problems.raise_if_any()
        self._file.seek(0)

    def _take(self, parser: PushMultipartParser, chunk: bytes) -> None:
        """Take in what a piece of the body holds; no piece: the body is over."""
        for event in parser.parse(chunk):
            if isinstance(event, MultipartSegment):
                self._begin(event.name or "")
            elif event is None:
                self._end()
            elif self._part is not None:
                self._part.write(event)

    def _begin(self, name: str) -> None:
        self._name, self._part = name, None
        if name in self._seen:
            self._problems.add(name[:_SHOWN], "Is given more than once.")
        elif name == self._file_field:
            self._part = self._file
        elif name in self._text_fields:
            self._part = self._text = io.BytesIO()
        else:
            self._problems.add(name[:_SHOWN], "Is not a known field.")
        self._seen.add(name)

    def _end(self) -> None:
        if self._part is not self._text or self._part is None:
            return
        text = self._text.getvalue()
        try:
            self.fields[self._name] = text.decode()
        except UnicodeDecodeError:
            self._problems.add(self._name, "Must be UTF-8.")


def uploads_of(connection: ASGIConnection[Any, Any, Any, Any]) -> Uploads:
    """Return what receives the uploads of an application."""
    return cast("Uploads", connection.app.state.uploads)
