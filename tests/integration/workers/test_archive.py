"""Every trick that an archive can play is refused by name, and every honest archive is read."""

import gzip
import io
import re
import struct
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runwright.workers.bundles.members import ArchiveError, ArchiveLimits
from tests.integration.workers.archives import (
    LIMITS,
    ZipMember,
    collect,
    collect_stream,
    deflated,
    tar_info,
    tar_of,
    tar_with,
    zip_by_hand,
    zip_of,
)

FILES: dict[str, bytes | str] = {
    "main.py": "import app\n",
    "app/__init__.py": "",
    "app/data/grüße.txt": "x" * 3000,
    "app/data/binary": bytes(range(256)) * 20,
}
WANTED = {name: content.encode() if isinstance(content, str) else content for name, content in FILES.items()}
HOSTILE_NAMES = {
    "absolute": ("/etc/passwd", "absolute path"),
    "parent": ("../up", "'..'"),
    "inner parent": ("a/../../up", "'..'"),
    "newline": ("a\nb", "control or invisible"),
    "escape": ("\x1b[31mred", "control or invisible"),
    "right to left": ("a\u202etxt.exe", "control or invisible"),
    "zero width": ("a\u200bb", "control or invisible"),
    "line separator": ("a\u2028b", "control or invisible"),
    "dot part": ("a/./b", "empty or '.'"),
    "empty part": ("a//b", "empty or '.'"),
    "long part": ("a" * 256, "too long"),
    "long path": ("/".join(["a" * 100] * 11), "too long"),
    "deep path": ("/".join(["a"] * 65), "too deep"),
}


def refusal(archive: bytes, spool_dir: Path, limits: ArchiveLimits = LIMITS) -> str:
    """The message that refuses an archive."""
    with pytest.raises(ArchiveError) as caught:
        collect(archive, spool_dir, limits)
    text = str(caught.value)
    assert text.endswith(".")
    assert text.isprintable()
    return text


# Honest ones


@pytest.mark.parametrize("make", [zip_of, tar_of])
def test_an_honest_archive_is_read_whole(tmp_path: Path, make: object) -> None:
    assert collect(make(FILES), tmp_path).contents == WANTED  # type: ignore[operator]


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_usual_form_of_tar_is_read(tmp_path: Path, form: int) -> None:
    long = "/".join(["directory"] * 20 if form != tarfile.USTAR_FORMAT else ["directory"] * 12) + "/file.txt"
    files: dict[str, bytes | str] = {"plain.txt": "x", long: "y", "umlaut-ä": "z"}
    read = collect(tar_of(files, format=form, encoding="utf-8"), tmp_path).contents
    assert read == {"plain.txt": b"x", long: b"y", "umlaut-ä": b"z"}


def test_archives_by_the_usual_programs_are_read(tmp_path: Path) -> None:
    """`git archive` writes a global header; `tar czf x .` names everything from './' on."""
    comment = b"52 comment=" + b"a" * 40 + b"\n"
    git = tarfile.TarInfo("pax_global_header")
    git.type, git.size = tarfile.XGLTYPE, len(comment)
    members = [
        (git, comment),
        (tar_info("./", type=tarfile.DIRTYPE), b""),
        (tar_info("./main.py", size=1), b"x"),
        (tar_info("./sub", type=tarfile.DIRTYPE, mode=0o2755), b""),
        (tar_info("./sub/run.sh", size=1, mode=0o755), b"y"),
    ]
    bundle = collect(tar_with(*members), tmp_path)
    assert bundle.contents == {"main.py": b"x", "sub/run.sh": b"y"}
    assert [stored.executable for stored in bundle.files.values()] == [False, True]


def test_a_zip_written_to_a_pipe_is_read(tmp_path: Path) -> None:
    """Sizes then follow each member in a descriptor."""

    class Pipe(io.RawIOBase):
        written = b""

        def writable(self) -> bool:
            return True

        def write(self, data: object) -> int:
            self.written += bytes(data)  # type: ignore[call-overload]
            return len(bytes(data))  # type: ignore[call-overload]

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in FILES.items():
            archive.writestr(name, content)
    assert collect(pipe.written, tmp_path).contents == WANTED


def test_a_zip_in_the_64_bit_form_is_read(tmp_path: Path) -> None:
    out = io.BytesIO()
    with (
        zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("a", "w", force_zip64=True) as file,
    ):
        file.write(b"hello")
    assert collect(out.getvalue(), tmp_path).contents == {"a": b"hello"}
    member = ZipMember(extra=struct.pack("<2HQ", 1, 8, 5), size=0xFFFFFFFF, local={"size": 5})
    assert collect(zip_by_hand(member), tmp_path).contents == {"a.txt": b"hello"}


def test_what_finder_adds_is_left_out(tmp_path: Path) -> None:
    files: dict[str, bytes | str] = {
        "p/main.py": "x",
        "__MACOSX/p/._main.py": "y",
        "p/.DS_Store": "z",
        "p/._main.py": "w",
    }
    assert collect(zip_of(files), tmp_path).contents == {"p/main.py": b"x"}


def test_equal_files_are_one_canonical_archive_whatever_packed_them(tmp_path: Path) -> None:
    archives = [
        zip_of(FILES),
        zip_of(dict(reversed(FILES.items()))),
        tar_of(FILES),
        tar_with(
            (tar_info("app", type=tarfile.DIRTYPE, mtime=7), b""),
            *((tar_info(n, size=len(c), uid=5, uname="me", mtime=9), c) for n, c in WANTED.items()),
            format=tarfile.GNU_FORMAT,
        ),
    ]
    canonical = {collect(archive, tmp_path).canonical for archive in archives}
    assert len(canonical) == 1
    with tarfile.open(fileobj=io.BytesIO(canonical.pop())) as archive:
        assert archive.getnames() == sorted(FILES)
        assert {(m.uid, m.gid, m.uname, m.mtime, m.mode) for m in archive} == {(0, 0, "", 0, 0o644)}


def test_the_canonical_archive_is_read_back_as_it_was(tmp_path: Path) -> None:
    files = WANTED | {"/".join(["deep"] * 60): b"1", "ä" * 100: b"2", "e" * 100: b"3", "": b""}
    del files[""]
    limits = ArchiveLimits(unpacked_bytes=1 << 20, files=200)
    canonical = collect(zip_of(dict(files)), tmp_path, limits).canonical
    assert collect_stream(canonical, tmp_path, limits).contents == files


def test_a_sole_top_folder_is_seen(tmp_path: Path) -> None:
    read = collect(zip_of({"repo/a": "1", "repo/b/c": "2"}), tmp_path)
    assert read.sole_folder == "repo"
    assert read.contents_within == {"a": b"1", "b/c": b"2"}
    for files in ({"repo/a": "1", "b": "2"}, {"a": "1"}, {"a/b": "1", "c/d": "2"}):
        assert collect(zip_of(dict(files)), tmp_path).sole_folder is None


# Names


@pytest.mark.parametrize(("name", "reason"), HOSTILE_NAMES.values(), ids=HOSTILE_NAMES.keys())
def test_a_hostile_name_is_refused_in_either_form(tmp_path: Path, name: str, reason: str) -> None:
    assert reason in refusal(zip_by_hand(ZipMember(name.encode())), tmp_path)
    assert reason in refusal(tar_of({name: "x"}, format=tarfile.PAX_FORMAT), tmp_path)


def test_a_name_with_nul_or_of_another_encoding_is_refused(tmp_path: Path) -> None:
    assert "control" in refusal(zip_by_hand(ZipMember(b"a\0b")), tmp_path)
    assert "not UTF-8" in refusal(zip_by_hand(ZipMember(b"gr\xfc\xdfe", flags=0)), tmp_path)
    assert "not UTF-8" in refusal(
        tar_of({"grüße": "x"}, format=tarfile.USTAR_FORMAT, encoding="latin-1"), tmp_path
    )
    assert "two names" in refusal(
        zip_by_hand(ZipMember(extra=struct.pack("<2H5s", 0x7075, 11, b"") + b"b.txt!")), tmp_path
    )


@pytest.mark.parametrize(
    ("one", "other", "reason"),
    [
        ("a.txt", "a.txt", "occurs twice"),
        ("a", "a/b", "a folder and something else"),
        ("a/b", "a", "a folder and something else"),
    ],
)
def test_two_members_of_one_name_are_refused(tmp_path: Path, one: str, other: str, reason: str) -> None:
    zipped = zip_by_hand(ZipMember(one.encode()), ZipMember(other.encode()))
    tarred = tar_with((tar_info(one, size=1), b"x"), (tar_info(other, size=1), b"y"))
    assert reason in refusal(zipped, tmp_path)
    assert reason in refusal(tarred, tmp_path)


# Kinds of members


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (tarfile.SYMTYPE, "links to something outside"),
        (tarfile.LNKTYPE, "hard link"),
        (tarfile.CHRTYPE, "device"),
        (tarfile.BLKTYPE, "device"),
        (tarfile.FIFOTYPE, "named pipe"),
        (tarfile.GNUTYPE_SPARSE, "sparse"),
        (b"V", "not known"),
        (b"7", "not known"),
    ],
)
def test_a_tar_member_that_is_neither_file_nor_folder_is_refused(
    tmp_path: Path, kind: bytes, reason: str
) -> None:
    assert reason in refusal(tar_with((tar_info("evil", type=kind, linkname="/etc/passwd"), b"")), tmp_path)


@pytest.mark.parametrize("kind", [0o020644, 0o060644, 0o010644, 0o140644])
def test_a_zip_member_that_is_neither_file_nor_folder_is_refused(tmp_path: Path, kind: int) -> None:
    archive = zip_by_hand(ZipMember(b"evil", b"/etc/passwd", attributes=kind << 16))
    assert '"evil" is a' in refusal(archive, tmp_path)
    link = zip_by_hand(ZipMember(b"evil", b"/etc/passwd", attributes=0o120777 << 16))
    assert "links to something outside" in refusal(link, tmp_path)


def test_setuid_files_are_refused_and_setgid_folders_are_just_folders(tmp_path: Path) -> None:
    assert "setuid" in refusal(tar_with((tar_info("su", mode=0o4755), b"")), tmp_path)
    assert "setuid" in refusal(zip_by_hand(ZipMember(attributes=0o106755 << 16)), tmp_path)


def test_extended_headers_that_change_the_meaning_are_refused(tmp_path: Path) -> None:
    for records in (
        {"GNU.sparse.major": "1"},
        {"GNU.sparse.name": "other"},
        {"hdrcharset": "BINARY"},
        {"SUN.devmajor": "1"},
    ):
        info = tar_info("a", size=1)
        info.pax_headers = records
        assert "not allowed" in refusal(tar_with((info, b"x"), format=tarfile.PAX_FORMAT), tmp_path)
    everywhere = tar_with(
        (tar_info("a", size=1), b"x"), format=tarfile.PAX_FORMAT, pax_headers={"path": "../x"}
    )
    assert "not allowed" in refusal(everywhere, tmp_path)


def pax(*records: bytes) -> bytes:
    body = b"".join(records)
    info = tar_info("p", size=len(body), type=tarfile.XHDTYPE)
    return tar_with((info, body), (tar_info("a", size=1), b"x"), format=tarfile.USTAR_FORMAT)


@pytest.mark.parametrize(
    "record",
    [
        b"9 path=a",
        b"99999 path=a\n",
        b"0 path=a\n",
        b"-9 path=a\n",
        b"9 patha\n\n",
        b"8 path=a\n",
        b"14 size=-100\n\n",
        b"14 size=+100\n\n",
        b"22 size=9999999999999\n\n",
        b"\n" * 9,
        b"9" * 600,
    ],
)
def test_an_extended_header_that_lies_about_itself_is_refused(tmp_path: Path, record: bytes) -> None:
    refusal(pax(record), tmp_path)


def test_an_extended_header_that_is_huge_alone_or_says_it_twice_is_refused(tmp_path: Path) -> None:
    assert "too long" in refusal(pax(b"comment" * 20_000), tmp_path)
    assert "two headers" in refusal(pax(b"9 path=b\n", b"9 path=c\n"), tmp_path)
    long = tar_info("././@LongLink", type=tarfile.GNUTYPE_LONGNAME, size=4)
    alone = tar_with((long, b"abc\0"), format=tarfile.GNU_FORMAT)
    assert "announces a member" in refusal(alone, tmp_path)
    twice = tar_with((long, b"abc\0"), (long, b"abd\0"), (tar_info("a"), b""), format=tarfile.GNU_FORMAT)
    assert "two headers" in refusal(twice, tmp_path)


def test_headers_without_end_are_refused(tmp_path: Path) -> None:
    comment = (tar_info("p", size=13, type=tarfile.XHDTYPE), b"13 comment=x\n")
    archive = tar_with(*[comment] * (8 * LIMITS.files + 1), format=tarfile.USTAR_FORMAT)
    assert "too many headers" in refusal(archive, tmp_path)


# Damage and lies


def test_an_archive_that_is_none_is_refused(tmp_path: Path) -> None:
    for archive in (b"", b"PK", b"hello", b"\x7fELF", b"Rar!\x1a\x07", b"BZh9", b"\xfd7zXZ\0"):
        assert "neither" in refusal(archive, tmp_path)
    refusal(gzip.compress(b"hello"), tmp_path)
    refusal(gzip.compress(b""), tmp_path)


def test_an_archive_without_files_is_refused(tmp_path: Path) -> None:
    for archive in (
        zip_of({}),
        tar_of({}),
        zip_of({"d/": ""}),
        tar_with((tar_info("d", type=tarfile.DIRTYPE), b"")),
    ):
        assert "no files" in refusal(archive, tmp_path)


@pytest.mark.parametrize("make", [zip_of, tar_of])
def test_an_archive_cut_anywhere_is_refused(tmp_path: Path, make: object) -> None:
    archive: bytes = make({"a": bytes(range(256)) * 9, "b/c": "y"})  # type: ignore[operator]
    for end in range(len(archive)):
        refusal(archive[:end], tmp_path)


def test_what_follows_the_end_is_refused(tmp_path: Path) -> None:
    tarred = tar_of({"a": "x"})
    for archive in (
        zip_of({"a": "x"}) + b"x",
        tarred + b"x",
        tarred + b"\0" * 512,
        tarred + tarred,
        gzip.compress(gzip.decompress(tarred) + b"x"),
        gzip.compress(gzip.decompress(tarred) + gzip.decompress(tarred)),
    ):
        assert "after its end" in refusal(archive, tmp_path)


def test_a_tar_without_its_end_or_with_a_wrong_checksum_is_refused(tmp_path: Path) -> None:
    plain = gzip.decompress(tar_of({"a": "x"}))
    assert "truncated" in refusal(gzip.compress(plain[:1024]), tmp_path)
    assert "incomplete" in refusal(gzip.compress(plain[:1536] + b"x" + plain[1537:2048]), tmp_path)
    assert "checksum" in refusal(gzip.compress(b"b" + plain[1:]), tmp_path)


def test_a_tar_with_a_number_that_is_none_is_refused(tmp_path: Path) -> None:
    plain = bytearray(gzip.decompress(tar_of({"a": "x"})))
    for field in (b"-0000000001\0", b"\xff" * 12, b"\x80" + b"\xff" * 11, b"0000000009x\0"):
        plain[124:136] = field
        checksum = sum(plain[:148]) + 256 + sum(plain[156:512])
        plain[148:156] = b"%06o\0 " % checksum
        assert "damaged" in refusal(gzip.compress(bytes(plain)), tmp_path)


ZIP_LIES = {
    "encrypted": (ZipMember(flags=0x801), "encrypted"),
    "strongly encrypted": (ZipMember(flags=0x841), "encrypted"),
    "unknown method": (ZipMember(method=12), "method"),
    "lzma": (ZipMember(method=14), "method"),
    "another name inside": (ZipMember(local={"name": b"b.txt"}), "another name"),
    "another size inside": (ZipMember(local={"size": 3}), "differently"),
    "another method inside": (ZipMember(local={"method": 8}), "differently"),
    "another flag inside": (ZipMember(local={"flags": 0}), "differently"),
    "more than it says": (ZipMember(content=b"hello" * 9, size=5, checksum=0, method=8), "size and checksum"),
    "less than it says": (ZipMember(size=50, local={"size": 50}), "size and checksum"),
    "a wrong checksum": (ZipMember(checksum=1), "size and checksum"),
    "broken data": (ZipMember(packed=b"\xff\xff\xff", method=8), "cannot be unpacked"),
    "data that goes on": (ZipMember(packed=deflated(b"hello") + b"junk", method=8), "too late"),
    "data that stops": (
        ZipMember(content=b"hello" * 99, packed=deflated(b"hello" * 99)[:-3], method=8),
        "too early",
    ),
    "a descriptor that lies": (
        ZipMember(flags=0x808, local={"checksum": 0, "packed": 0, "size": 0}, after=b"PK\7\x08" + bytes(12)),
        "differently after",
    ),
    "no descriptor": (
        ZipMember(flags=0x808, local={"checksum": 0, "packed": 0, "size": 0}),
        "differently after",
    ),
    "a folder with content": (ZipMember(name=b"d/", attributes=0o040755 << 16), "has content"),
    "a folder that is a file": (ZipMember(name=b"d/", content=b"", attributes=0o100644 << 16), "at once"),
    "a file that is a folder": (ZipMember(content=b"", attributes=0o040755 << 16), "at once"),
    "zip64 without its field": (ZipMember(size=0xFFFFFFFF), "zip64"),
    "a field that ends early": (ZipMember(extra=b"\1\0\xff\0x"), "extra field"),
}


@pytest.mark.parametrize(("member", "reason"), ZIP_LIES.values(), ids=ZIP_LIES.keys())
def test_a_zip_member_that_lies_is_refused(tmp_path: Path, member: ZipMember, reason: str) -> None:
    assert reason in refusal(zip_by_hand(member), tmp_path)


def test_a_zip_of_overlapping_members_is_refused(tmp_path: Path) -> None:
    """One body named many times: the way of the bombs that a ratio of each member does not show."""
    body = ZipMember(content=b"0" * 100_000, method=8)
    again = [ZipMember(b"a.txt", b"0" * 100_000, method=8, offset=0) for _ in range(3)]
    assert "overlaps" in refusal(zip_by_hand(body, *again), tmp_path)


def test_a_zip_whose_end_lies_is_refused(tmp_path: Path) -> None:
    refusal(zip_by_hand(ZipMember(), count=2), tmp_path)
    refusal(zip_by_hand(ZipMember(), ZipMember(b"b"), count=1), tmp_path)
    refusal(zip_by_hand(ZipMember(), shift=1), tmp_path)
    refusal(zip_by_hand(ZipMember(), shift=-1), tmp_path)
    assert "neither" in refusal(zip_by_hand(ZipMember(), before=b"#!/bin/sh\n"), tmp_path)
    hidden = zip_by_hand(ZipMember(), ZipMember(b"b.txt"))
    assert "before its first" in refusal(zip_by_hand(ZipMember(b"c"), before=hidden[:40]), tmp_path)


# Bombs


def test_an_archive_that_unpacks_to_more_than_the_limit_is_refused(tmp_path: Path) -> None:
    many = {f"{n}": b"0" * 300_000 for n in range(4)}
    for archive in (zip_of(dict(many)), tar_of(dict(many)), zip_of({"one": b"0" * 2_000_000})):
        assert "bytes unpacked" in refusal(archive, tmp_path)
    small = ZipMember(content=b"0" * 2_000_000, size=10, method=8)
    assert "size and checksum" in refusal(zip_by_hand(small), tmp_path)


def test_an_archive_that_unpacks_to_far_more_than_it_is_is_refused(tmp_path: Path) -> None:
    large = ArchiveLimits(unpacked_bytes=1 << 30, files=50)
    bomb = bytes(32 * 1024 * 1024)
    for archive in (zip_of({"bomb": bomb}), tar_of({"bomb": bomb})):
        assert "times its packed size" in refusal(archive, tmp_path, large)


def test_too_many_files_or_folders_are_refused(tmp_path: Path) -> None:
    for make in (zip_of, tar_of):
        assert "more than 50 files" in refusal(make({f"{n}": "" for n in range(51)}), tmp_path)
        assert "more than 50 folders" in refusal(
            make({"/".join(["d"] * n): "" for n in range(53, 54)}), tmp_path
        )
    assert "members" in refusal(zip_of({f"{n}/": "" for n in range(101)}), tmp_path)


@pytest.mark.parametrize(
    "names",
    [
        ("README.md", "readme.md"),
        ("caf\u00e9", "cafe\u0301"),
        ("Dir/x", "dir/y"),
        ("a:b.txt", "C:x", "con", "a*?<>|.txt", "trailing. "),
        ("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "\U0001f469\u200d\U0001f4bb.png"),
    ],
)
def test_names_that_linux_allows_are_kept(tmp_path: Path, names: tuple[str, ...]) -> None:
    for archive in (zip_of(dict.fromkeys(names, "x")), tar_of(dict.fromkeys(names, "x"))):
        assert set(collect(archive, tmp_path, LIMITS).files) == set(names)
    assert "back\\slash" in collect(tar_of({"back\\slash": "x"}), tmp_path, LIMITS).files
    assert "backslash" in refusal(zip_of({"back\\slash": "x"}), tmp_path)


@pytest.mark.parametrize("fields", ["zero", "sizes", "all", "checksum"])
def test_a_zip_that_was_streamed_has_zeros_or_the_right_values_before_the_content(
    tmp_path: Path, fields: str
) -> None:
    content = b"hello" * 100
    packed = zip_of({"a.txt": content})
    flags = struct.unpack_from("<H", packed, 6)[0] | 8
    checksum, size, whole = struct.unpack_from("<3L", packed, 14)
    kept = {
        "zero": (0, 0, 0),
        "sizes": (0, size, whole),
        "all": (checksum, size, whole),
        "checksum": (checksum, 0, 0),
    }
    directory = packed.index(b"PK\1\2")
    descriptor = b"PK\7\x08" + struct.pack("<3L", checksum, size, whole)
    local = (
        packed[:6]
        + struct.pack("<H", flags)
        + packed[8:14]
        + struct.pack("<3L", *kept[fields])
        + packed[26:directory]
    )
    central = bytearray(packed[directory:])
    struct.pack_into("<H", central, 8, flags)
    end = central.index(b"PK\5\6")
    struct.pack_into("<L", central, end + 16, len(local) + len(descriptor))
    archive = local + descriptor + bytes(central)
    assert collect(archive, tmp_path, LIMITS).contents["a.txt"] == content
    wrong = (
        packed[:6]
        + struct.pack("<H", flags)
        + packed[8:14]
        + struct.pack("<3L", 0, size + 1, whole)
        + packed[26:directory]
    )
    assert "described differently" in refusal(wrong + descriptor + bytes(central), tmp_path)


# Links


@pytest.mark.parametrize("target", ["b", "../b", "../../b", "x/y"])
def test_relative_links_that_stay_inside_are_kept(tmp_path: Path, target: str) -> None:
    limits = ArchiveLimits(unpacked_bytes=1000, files=10)
    archive = gzip.decompress(tar_with((tar_info("d/e/link", type=tarfile.SYMTYPE, linkname=target), b"")))
    bundle = collect_stream(archive, tmp_path, limits)
    assert bundle.files["d/e/link"].target == target


@pytest.mark.parametrize(
    "target", ["/etc", "../../../x", "..//../..", "x/../../../../y", "a/../b", "", "a\\b"]
)
def test_links_to_the_outside_are_refused_everywhere(tmp_path: Path, target: str) -> None:
    limits = ArchiveLimits(unpacked_bytes=1000, files=10)
    archive = gzip.decompress(tar_with((tar_info("d/e/link", type=tarfile.SYMTYPE, linkname=target), b"")))
    with pytest.raises(ArchiveError, match="outside"):
        collect_stream(archive, tmp_path, limits)


def test_nothing_lies_below_a_link(tmp_path: Path) -> None:
    limits = ArchiveLimits(unpacked_bytes=1000, files=10)
    members = [(tar_info("a", type=tarfile.SYMTYPE, linkname="b"), b""), (tar_info("a/x", size=1), b"x")]
    for order in (members, members[::-1]):
        with pytest.raises(ArchiveError, match="something else at once"):
            collect_stream(gzip.decompress(tar_with(*order)), tmp_path, limits)


# Anything at all

SEEDS = (
    zip_of({"a": "hello" * 50, "b/c": "x"}),
    tar_of({"a": "hello" * 50, "b/c": "x"}),
    zip_by_hand(ZipMember(), ZipMember(b"d/", b"", attributes=0o040755 << 16)),
    gzip.decompress(tar_of({"a" * 150: "x", "ü": "y"}, format=tarfile.GNU_FORMAT)),
    gzip.decompress(tar_of({"a" * 150: "x", "ü": "y"}, format=tarfile.PAX_FORMAT)),
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """An archive in which a few bytes are changed, cut out, or repeated."""
    seed = draw(st.sampled_from(SEEDS))
    data = bytearray(seed)
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(data)))
        what = draw(st.integers(0, 2))
        if what == 0:
            new = draw(st.binary(min_size=1, max_size=8))
            data[at : at + len(new)] = new
        elif what == 1:
            del data[at : at + draw(st.integers(1, 64))]
        else:
            data[at:at] = data[at : at + draw(st.integers(1, 600))]
    return gzip.compress(bytes(data)) if seed[:2] not in {b"PK", b"\x1f\x8b"} else bytes(data)


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(archive=mutated())
def test_whatever_comes_is_read_safely_or_refused(tmp_path: Path, archive: bytes) -> None:
    try:
        bundle = collect(archive, tmp_path)
    except ArchiveError:
        return
    for path in bundle.files:
        assert not path.startswith("/")
        assert ".." not in path.split("/")
        assert path.isprintable()
    assert bundle.size_bytes <= LIMITS.unpacked_bytes


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files=st.dictionaries(st.text("abc/.", min_size=1, max_size=8), st.binary(max_size=2000), max_size=6))
def test_what_is_read_from_a_zip_is_what_another_reader_finds(
    tmp_path: Path, files: dict[str, bytes]
) -> None:
    archive = zip_of(dict(files))
    try:
        bundle = collect(archive, tmp_path)
    except ArchiveError:
        return
    with zipfile.ZipFile(io.BytesIO(archive)) as other:
        theirs = {name: other.read(name) for name in other.namelist() if not name.endswith("/")}
    ours = bundle.contents
    assert {re.sub(r"^(\./)+", "", name): content for name, content in theirs.items()} == ours


def test_the_padding_after_an_archive_has_a_bound(tmp_path: Path) -> None:
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("main.py"))
    padded = whole.getvalue() + bytes(1024 * 1024)
    collect(gzip.compress(padded), tmp_path)
    assert "after its end" in refusal(gzip.compress(padded + bytes(16 * 1024 * 1024)), tmp_path)
