"""The system calls of sandboxes: which are allowed, which are refused, and their numbers.

A row is `name x86_64 aarch64`, with `-` where an architecture has no such call; a line that begins with
`#` names a group. A number that is in no table does not exist in a sandbox (ENOSYS), as on an older
kernel: programs are prepared for that, so a call is added here when a runtime needs it. ENOSYS without a
row of their own are

- System V objects, which outlive their processes and are accounted to none of them;
- `io_setup` and the other calls of asynchronous I/O: the number of contexts is limited for the whole host;
- `vmsplice` and `remap_file_pages`, entry points of vulnerabilities that programs replaced long ago;
- `statmount`, `listmount` and `lsm_*`, which describe the host;
- `clone3`, because a filter cannot read its flags: the C library then uses `clone`;
- whatever a newer kernel adds.
"""

import os
from typing import Final

import msgspec


class SyscallNumbers(msgspec.Struct, frozen=True):
    """The numbers of one call; None where an architecture does not have it."""

    x86_64: int | None
    aarch64: int | None

    def on(self, machine: str) -> int | None:
        """Return the number on a machine, by its name in `uname`."""
        return self.x86_64 if machine == "x86_64" else self.aarch64


def _read_table(text: str) -> dict[str, SyscallNumbers]:
    rows = ",".join(line for line in text.splitlines() if not line.startswith("#"))
    table: dict[str, SyscallNumbers] = {}
    for row in rows.split(","):
        if row.strip():
            name, *numbers = row.split()
            first, second = (None if one == "-" else int(one) for one in numbers)
            if name in table:
                raise ValueError(f"{name} has two rows")
            table[name] = SyscallNumbers(first, second)
    return table


ALLOWED: Final = _read_table("""
# Files: read, write, position
read 0 63, write 1 64, pread64 17 67, pwrite64 18 68, readv 19 65, writev 20 66, preadv 295 69,
pwritev 296 70, preadv2 327 286, pwritev2 328 287, lseek 8 62, sendfile 40 71, splice 275 76, tee 276 77,
copy_file_range 326 285, readahead 187 213, fadvise64 221 223, fallocate 285 47, truncate 76 45,
ftruncate 77 46, fsync 74 82, fdatasync 75 83, sync_file_range 277 84
# Files: open, close, duplicate
open 2 -, creat 85 -, openat 257 56, openat2 437 437, close 3 57, close_range 436 436, dup 32 23, dup2 33 -,
dup3 292 24, pipe 22 -, pipe2 293 59, flock 73 32, memfd_create 319 279
# Files: names, attributes, folders
stat 4 -, lstat 6 -, fstat 5 80, newfstatat 262 79, statx 332 291, access 21 -, faccessat 269 48,
faccessat2 439 439, statfs 137 43, fstatfs 138 44, getdents 78 -, getdents64 217 61, getcwd 79 17,
chdir 80 49, fchdir 81 50, mkdir 83 -, mkdirat 258 34, rmdir 84 -, rename 82 -, renameat 264 38,
renameat2 316 276, link 86 -, linkat 265 37, symlink 88 -, symlinkat 266 36, readlink 89 -,
readlinkat 267 78, unlink 87 -, unlinkat 263 35, mknod 133 -, mknodat 259 33, chmod 90 -, fchmod 91 52,
fchmodat 268 53, fchmodat2 452 452, chown 92 -, fchown 93 55, lchown 94 -, fchownat 260 54, umask 95 166,
utime 132 -, utimes 235 -, futimesat 261 -, utimensat 280 88, cachestat 451 451
# Files: extended attributes
getxattr 191 8, lgetxattr 192 9, fgetxattr 193 10, setxattr 188 5, lsetxattr 189 6, fsetxattr 190 7,
listxattr 194 11, llistxattr 195 12, flistxattr 196 13, removexattr 197 14, lremovexattr 198 15,
fremovexattr 199 16
# Waiting for descriptors
select 23 -, pselect6 270 72, poll 7 -, ppoll 271 73, epoll_create 213 -, epoll_create1 291 20,
epoll_ctl 233 21, epoll_wait 232 -, epoll_pwait 281 22, epoll_pwait2 441 441, eventfd 284 -,
eventfd2 290 19, signalfd 282 -, signalfd4 289 74, timerfd_create 283 85, timerfd_settime 286 86,
timerfd_gettime 287 87, inotify_init 253 -, inotify_init1 294 26, inotify_add_watch 254 27,
inotify_rm_watch 255 28
# Sockets
bind 49 200, connect 42 203, listen 50 201, accept 43 202, accept4 288 242, getsockname 51 204,
getpeername 52 205, getsockopt 55 209, shutdown 48 210, sendto 44 206, recvfrom 45 207, sendmsg 46 211,
recvmsg 47 212, sendmmsg 307 269, recvmmsg 299 243
# Memory
brk 12 214, mmap 9 222, munmap 11 215, mprotect 10 226, mremap 25 216, madvise 28 233, msync 26 227,
mincore 27 232, mlock 149 228, mlock2 325 284, munlock 150 229, mlockall 151 230, munlockall 152 231,
pkey_alloc 330 289, pkey_free 331 290, pkey_mprotect 329 288, membarrier 324 283, map_shadow_stack 453 453,
mseal 462 462
# Processes and threads
fork 57 -, vfork 58 -, execve 59 221, execveat 322 281, exit 60 93, exit_group 231 94, wait4 61 260,
waitid 247 95, set_tid_address 218 96, gettid 186 178, getpid 39 172, getppid 110 173, getpgrp 111 -,
getpgid 121 155, setpgid 109 154, getsid 124 156, setsid 112 157, pidfd_open 434 434,
pidfd_send_signal 424 424, futex 202 98, futex_waitv 449 449, futex_wake 454 454, futex_wait 455 455,
futex_requeue 456 456, set_robust_list 273 99, get_robust_list 274 100, rseq 334 293,
restart_syscall 219 128, arch_prctl 158 -, prctl 157 167, seccomp 317 277, landlock_create_ruleset 444 444,
landlock_add_rule 445 445, landlock_restrict_self 446 446
# Signals
kill 62 129, tkill 200 130, tgkill 234 131, rt_sigaction 13 134, rt_sigpending 127 136,
rt_sigprocmask 14 135, rt_sigqueueinfo 129 138, rt_tgsigqueueinfo 297 240, rt_sigreturn 15 139,
rt_sigsuspend 130 133, rt_sigtimedwait 128 137, sigaltstack 131 132, pause 34 -
# Users and capabilities: a process may only lower its own
getuid 102 174, geteuid 107 175, getgid 104 176, getegid 108 177, getresuid 118 148, getresgid 120 150,
getgroups 115 158, setuid 105 146, setgid 106 144, setreuid 113 145, setregid 114 143, setresuid 117 147,
setresgid 119 149, setfsuid 122 151, setfsgid 123 152, setgroups 116 159, capget 125 90, capset 126 91
# Scheduling and limits
sched_yield 24 124, sched_getaffinity 204 123, sched_setaffinity 203 122, sched_getattr 315 275,
sched_setattr 314 274, sched_getparam 143 121, sched_setparam 142 118, sched_getscheduler 145 120,
sched_setscheduler 144 119, sched_get_priority_max 146 125, sched_get_priority_min 147 126,
sched_rr_get_interval 148 127, getpriority 140 141, setpriority 141 140, ioprio_get 252 31,
ioprio_set 251 30, getrlimit 97 163, setrlimit 160 164, prlimit64 302 261, getrusage 98 165, getcpu 309 168
# Clocks and timers
time 201 -, gettimeofday 96 169, clock_gettime 228 113, clock_getres 229 114, nanosleep 35 101,
clock_nanosleep 230 115, times 100 153, alarm 37 -, getitimer 36 102, setitimer 38 103,
timer_create 222 107, timer_settime 223 110, timer_gettime 224 108, timer_getoverrun 225 109,
timer_delete 226 111
# Message queues of the sandbox's own ipc namespace
mq_open 240 180, mq_unlink 241 181, mq_timedsend 242 182, mq_timedreceive 243 183, mq_notify 244 184,
mq_getsetattr 245 185
# The system
uname 63 160, sysinfo 99 179, getrandom 318 278
# Trampolines of probes: the kernel does not filter them since Linux 6.14, and a probe of the host's
# administrator must not kill a job
uretprobe 335 -, uprobe 336 -
""")
"""Calls that are allowed with every argument."""
CHECKED: Final = _read_table("""
# By their arguments; see `runwright.sandbox.seccomp`
clone 56 220, fcntl 72 25, ioctl 16 29, personality 135 92, setsockopt 54 208, socket 41 198,
socketpair 53 199
""")
"""Calls that are allowed with some arguments."""
REFUSED: Final = _read_table("""
# File systems
mount 165 40, umount2 166 39, pivot_root 155 41, chroot 161 51, open_tree 428 428, open_tree_attr 467 467,
move_mount 429 429, fsopen 430 430, fsconfig 431 431, fsmount 432 432, fspick 433 433,
mount_setattr 442 442, quotactl 179 60, quotactl_fd 443 443, name_to_handle_at 303 264,
open_by_handle_at 304 265, fanotify_init 300 262, fanotify_mark 301 263, swapon 167 224, swapoff 168 225,
acct 163 89
# Namespaces
unshare 272 97, setns 308 268, sethostname 170 161, setdomainname 171 162
# Other processes
ptrace 101 117, process_vm_readv 310 270, process_vm_writev 311 271, process_madvise 440 440,
process_mrelease 448 448, pidfd_getfd 438 438, kcmp 312 272
# The kernel
kexec_load 246 104, kexec_file_load 320 294, init_module 175 105, finit_module 313 273,
delete_module 176 106, bpf 321 280, perf_event_open 298 241, userfaultfd 323 282, io_uring_setup 425 425,
io_uring_enter 426 426, io_uring_register 427 427, add_key 248 217, request_key 249 218, keyctl 250 219,
syslog 103 116, reboot 169 142, vhangup 153 58, lookup_dcookie 212 18, nfsservctl 180 42,
memfd_secret 447 447
# Clocks
settimeofday 164 170, clock_settime 227 112, clock_adjtime 305 266, adjtimex 159 171
# Memory policy
mbind 237 235, set_mempolicy 238 237, set_mempolicy_home_node 450 450, get_mempolicy 239 236,
migrate_pages 256 238, move_pages 279 239
# Old calls of x86
iopl 172 -, ioperm 173 -, modify_ldt 154 -, uselib 134 -, ustat 136 -, sysfs 139 -, _sysctl 156 -,
create_module 174 -, get_kernel_syms 177 -, query_module 178 -
""")
"""Calls that exist in a sandbox and fail with EPERM, so that programs that only try them continue."""
WITHOUT_EFFECT: Final = _read_table("""
# Both write the dirty pages of the host's disks, at everybody's cost; a sandbox writes to memory
# only
sync 162 81, syncfs 306 267
""")
"""Calls that succeed and do nothing."""


def listed_numbers(machine: str = "") -> list[int]:
    """Return the numbers of the calls that are allowed, at least with some arguments, or have no effect."""
    machine = machine or os.uname().machine
    tables = (ALLOWED, CHECKED, WITHOUT_EFFECT)
    found = {numbers.on(machine) for table in tables for numbers in table.values()}
    return sorted(number for number in found if number is not None)
