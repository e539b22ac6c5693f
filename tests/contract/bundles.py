"""Deploying from the tests."""

import gzip
import io
import tarfile
import zipfile
from collections.abc import Mapping, Sequence

import httpx
from tests.contract.client import AVA, Api, Json, data_of

Files = Mapping[str, str | bytes]

ZIP = "application/zip"
GZIP = "application/gzip"


def zip_of(files: Files) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = (0o100755 if content[:2] in {"#!", b"#!"} else 0o100644) << 16
            archive.writestr(info, content)
    return out.getvalue()


def tar_gz_of(files: Files) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            info = tarfile.TarInfo(name)
            info.size = len(data)
            info.mode = 0o755 if data.startswith(b"#!") else 0o644
            archive.addfile(info, io.BytesIO(data))
    return gzip.compress(out.getvalue())


def send(api: Api, worker_id: str, archive: bytes, *, kind: str = ZIP, **query: str) -> httpx.Response:
    """Deploy an archive and return the answer; by default without an import of the code."""
    return api.call(
        "POST",
        f"/workers/{worker_id}/deploy",
        content=archive,
        params={"check": "false", **query},
        headers={"content-type": kind},
    )


def send_form(
    api: Api, worker_id: str, parts: Sequence[tuple[str, tuple[str | None, bytes]]]
) -> httpx.Response:
    """Deploy by a form."""
    return api.http.httpx.post(
        f"{AVA}/workers/{worker_id}/deploy?check=false", files=list(parts), headers=api.headers
    )


def deploy(api: Api, worker_id: str, files: Files, **query: str) -> Json:
    """Deploy files and return the new version."""
    return data_of(send(api, worker_id, zip_of(files), **query), 201)
