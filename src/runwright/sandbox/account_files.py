"""The user and group of a sandbox, as programs look them up: /etc/passwd and /etc/group with its own uid."""

import grp
import os
from functools import cache
from typing import Final

UNPRIVILEGED_ID: Final = 65534
"""The uid inside of a user namespace."""
BUNDLE_GROUP: Final = 59_999
"""The group that may change the files of bundles; no account of the host has it.

A sandbox has it where it sees a bundle through a layer that takes all that is written (`overlay`).
"""


@cache
def bundle_group() -> int | None:
    """Return `BUNDLE_GROUP`; None if this process may not give files to it, or the host has such a group."""
    if os.geteuid():
        return None
    try:
        grp.getgrgid(BUNDLE_GROUP)
    except KeyError:
        return BUNDLE_GROUP
    return None


def open_account_files(uid: int) -> tuple[int, int]:
    """Return descriptors to read the sandbox's passwd and group files from; 0 is a user namespace's uid."""
    number = uid or UNPRIVILEGED_ID
    passwd = f"root:x:0:0:root:/:/usr/sbin/nologin\nworker:x:{number}:{number}:worker:/work:/bin/sh\n"
    group = f"root:x:0:\nworker:x:{number}:\nbundle:x:{BUNDLE_GROUP}:worker\n"
    passwd_file = _open(passwd)
    try:
        return passwd_file, _open(group)
    except OSError:
        os.close(passwd_file)
        raise


def _open(text: str) -> int:
    file = os.memfd_create("account", os.MFD_CLOEXEC)
    os.write(file, text.encode())
    os.lseek(file, 0, os.SEEK_SET)
    return file
