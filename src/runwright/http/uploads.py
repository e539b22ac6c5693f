"""Uploads that are too large for memory: into unnamed temporary files, with limited concurrency.

A tenant's third concurrent upload waits for one of its first two to finish, and every upload waits
while the server has too many; after `WAIT_SECONDS` it is refused. The body is not read meanwhile,
so that the client waits too.

A body is the file itself, or a form (`multipart/form-data`) with the file and text fields.
"""

import asyncio
import contextlib
import io
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from pathlib import Path
from typing import IO, Final

import msgspec
from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header  # type: ignore[import-untyped]  # it has annotations, but does not say so

from runwright.core.errors import MalformedError
from runwright.http.validation import Problems
from runwright.workers.bundles.folders import make_private_folder
from runwright.workers.bundles.tenant_turns import TenantTurns

WAIT_SECONDS: Final = 30.0
_AT_ONCE: Final = 16
_AT_ONCE_PER_TENANT: Final = 2
_READ_BYTES: Final = 256 * 1024
_FORM: Final = "multipart/form-data"
_FORM_BYTES: Final = 64 * 1024
"""The limit of a form beyond its file."""

_FIELDS: Final = 20
_SHOWN: Final = 100


Spool = Callable[[IO[bytes], int], Awaitable[None]]
"""Writes a request's body to a file, up to so many bytes: `Request.spool`."""


class Upload(msgspec.Struct, frozen=True):
    """An uploaded file and the text fields of its form."""

    file: IO[bytes]
    fields: dict[str, str]


class Uploads:
    """Receives the uploads of all tenants."""

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self._folder = folder
        self._limit_bytes = limit_bytes
        self._turns = TenantTurns(
            at_once=_AT_ONCE,
            per_tenant=_AT_ONCE_PER_TENANT,
            wait_seconds=WAIT_SECONDS,
            message="Too many uploads are under way; try again.",
        )

    @contextlib.asynccontextmanager
    async def receive(
        self,
        tenant_id: str,
        content_type: bytes,
        spool: Spool,
        *,
        kinds: Collection[str],
        file_field: str,
        text_fields: Collection[str],
    ) -> AsyncIterator[Upload]:
        """Yield the file in a body of one of these content types, or in a field of a form."""
        kind, options = parse_options_header(content_type.decode("latin-1"))
        if kind not in {_FORM, *kinds}:
            raise MalformedError(f"The content type must be one of: {', '.join((*kinds, _FORM))}.")
        async with self._turns.turn(tenant_id):
            await asyncio.to_thread(make_private_folder, self._folder)
            with tempfile.TemporaryFile(dir=self._folder) as body:
                await spool(body, self._limit_bytes + (_FORM_BYTES if kind == _FORM else 0))
                if kind != _FORM:
                    yield Upload(body, {})
                    return
                with tempfile.TemporaryFile(dir=self._folder) as file:
                    form = _Form(file, file_field=file_field, text_fields=text_fields)
                    await asyncio.to_thread(form.read, body, options.get("boundary", ""))
                    yield Upload(file, form.fields)


class _Form:
    """Reads the parts of a form, and reports every invalid field at once."""

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
        """Read a body; MalformedError if it is not a form, InvalidError if its fields are invalid."""
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
        """Process a chunk of the body; an empty one ends it."""
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
