"""The schemas of the files of versions and of their differences."""

import base64
from typing import Annotated, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType, field

from runwright.http.fields import storable_text, to_out
from runwright.http.validation import Validator
from runwright.workers.bundles.stored import BundleFile
from runwright.workers.contents import (
    DiffOmission,
    FileChange,
    FileContent,
    FileDiff,
    FileListing,
    VersionDiff,
    read_text,
)

_LONGEST_PATH: Final = 1024
_MOST_FILES: Final = 2_000

_Path = Annotated[str, Meta(min_length=1, max_length=_LONGEST_PATH)]
_Number = Annotated[int, Meta(ge=1, le=999_999_999)]


class FilesQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The page to return."""

    after: Annotated[_Path, Meta(description="Only files whose path follows this one.")] | UnsetType = UNSET
    limit: Annotated[int, Meta(ge=1, le=_MOST_FILES, description="Most files to return.")] = 500


class FileQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The file to read."""

    path: Annotated[_Path, Meta(description="The path, as in the list of files.", examples=["main.py"])]


class DiffQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The versions to compare."""

    from_: Annotated[_Number, Meta(description="The version to compare from.", examples=[1])] = field(
        name="from"
    )
    to: Annotated[_Number, Meta(description="The version to compare to.", examples=[2])]


class FileOut(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a version."""

    path: str
    size_bytes: int
    executable: bool
    digest: Annotated[str, Meta(description="SHA-256 of the content.")]


class VersionFilesOut(msgspec.Struct, frozen=True, kw_only=True):
    """A page of the files of a version; `next_after` (where not null) continues it."""

    worker_id: str
    version: int
    entrypoint: str
    files: list[FileOut]
    total: Annotated[int, Meta(description="Files in the version.")]
    next_after: Annotated[str | None, Meta(description="`after` of the next page; null on the last.")]


class FileContentOut(FileOut, frozen=True, kw_only=True):
    """A file of a version and the beginning of its content."""

    worker_id: str
    version: int
    encoding: Annotated[
        Literal["utf-8", "base64"], Meta(description="The encoding of `content`: UTF-8 text, or base64.")
    ]
    content: str
    truncated: Annotated[bool, Meta(description="Whether the file is longer than `content`.")]


class FileDiffOut(msgspec.Struct, frozen=True, kw_only=True):
    """A file that differs between two versions."""

    path: str
    change: FileChange
    from_: Annotated[FileOut | None, Meta(description="As it was; null: added.")] = field(name="from")
    to: Annotated[FileOut | None, Meta(description="As it is; null: removed.")]
    added_lines: Annotated[int | None, Meta(description="Null where there is no text to compare.")]
    removed_lines: int | None
    diff: Annotated[str | None, Meta(description="Unified, with three lines of context.")]
    omitted: Annotated[
        DiffOmission | None,
        Meta(
            description="Why there is no diff: a `binary` file; a `too_large` one, or too many of them; "
            "`answer_full`."
        ),
    ]


class VersionDiffOut(msgspec.Struct, frozen=True, kw_only=True):
    """The differences between two versions."""

    worker_id: str
    from_: Annotated[int, Meta(description="The version that was compared from.")] = field(name="from")
    to: int
    from_entrypoint: str
    to_entrypoint: str
    files: list[FileDiffOut]
    total: Annotated[int, Meta(description="Files that differ.")]
    truncated: Annotated[bool, Meta(description="`files` has only the first ones.")]


LIST_FILES: Final = Validator(FilesQuery, {"after": storable_text})
READ_FILE: Final = Validator(FileQuery, {"path": storable_text})
COMPARE_VERSIONS: Final = Validator(DiffQuery)


def files_out(listing: FileListing) -> VersionFilesOut:
    version = listing.version
    return VersionFilesOut(
        worker_id=version.worker_id,
        version=version.version,
        entrypoint=version.entrypoint,
        files=[to_out(FileOut, file) for file in listing.files],
        total=listing.total,
        next_after=listing.next_after,
    )


def content_out(found: FileContent) -> FileContentOut:
    truncated = len(found.content) < found.file.size_bytes
    text = read_text(found.content, cut=truncated)
    return to_out(
        FileContentOut,
        found.file,
        worker_id=found.version.worker_id,
        version=found.version.version,
        encoding="base64" if text is None else "utf-8",
        content=base64.b64encode(found.content).decode() if text is None else text,
        truncated=truncated,
    )


def diff_out(found: VersionDiff) -> VersionDiffOut:
    return VersionDiffOut(
        worker_id=found.new.worker_id,
        from_=found.old.version,
        to=found.new.version,
        from_entrypoint=found.old.entrypoint,
        to_entrypoint=found.new.entrypoint,
        files=[_file_diff_out(file) for file in found.files],
        total=found.total,
        truncated=len(found.files) < found.total,
    )


def _file_diff_out(file: FileDiff) -> FileDiffOut:
    names = (f"a/{file.path}" if file.old else "/dev/null", f"b/{file.path}" if file.new else "/dev/null")
    head = f"--- {names[0]}\n+++ {names[1]}\n"
    return to_out(
        FileDiffOut,
        file,
        from_=_file_out(file.old),
        to=_file_out(file.new),
        diff=file.diff and head + file.diff,
    )


def _file_out(file: BundleFile | None) -> FileOut | None:
    return None if file is None else to_out(FileOut, file)
