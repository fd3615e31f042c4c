"""A filter for the kernel: system calls that no checker needs are refused.

Bubblewrap takes the filter as the bytes of a classic BPF program. It is written here
rather than by libseccomp, which has no wheel: it is one comparison a call.
"""

from __future__ import annotations

import errno
import platform
import struct

__all__ = ["seccomp_filter"]

# No process, no network, no look into others, no way to change the kernel. A program
# starts after the filter is set, so `execve` must stay; there is nothing to be started.
_REFUSED: dict[str, tuple[int, dict[str, int]]] = {
    "x86_64": (
        0xC000003E,
        {
            "socket": 41,
            "socketpair": 53,
            "clone": 56,
            "fork": 57,
            "vfork": 58,
            "ptrace": 101,
            "pivot_root": 155,
            "chroot": 161,
            "mount": 165,
            "umount2": 166,
            "init_module": 175,
            "add_key": 248,
            "request_key": 249,
            "keyctl": 250,
            "unshare": 272,
            "perf_event_open": 298,
            "setns": 308,
            "process_vm_readv": 310,
            "process_vm_writev": 311,
            "finit_module": 313,
            "memfd_create": 319,
            "bpf": 321,
            "userfaultfd": 323,
            "io_uring_setup": 425,
            "io_uring_enter": 426,
            "io_uring_register": 427,
            "clone3": 435,
        },
    ),
    "aarch64": (
        0xC00000B7,
        {
            "umount2": 39,
            "mount": 40,
            "pivot_root": 41,
            "chroot": 51,
            "unshare": 97,
            "init_module": 105,
            "ptrace": 117,
            "socket": 198,
            "socketpair": 199,
            "add_key": 217,
            "request_key": 218,
            "keyctl": 219,
            "clone": 220,
            "perf_event_open": 241,
            "setns": 268,
            "process_vm_readv": 270,
            "process_vm_writev": 271,
            "finit_module": 273,
            "memfd_create": 279,
            "bpf": 280,
            "userfaultfd": 282,
            "io_uring_setup": 425,
            "io_uring_enter": 426,
            "io_uring_register": 427,
            "clone3": 435,
        },
    ),
}

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_X32 = 0x40000000
_CLONE_THREAD = 0x00010000


def seccomp_filter(
    *, threads: bool = False, machine: str | None = None
) -> bytes | None:
    """Assemble the filter.

    Args:
        threads: Let the program start threads, which no checker under CPython needs.
        machine: As `platform.machine()` names it; this one's if None.

    Returns:
        The BPF program; None for a machine whose system calls are not listed.
    """
    known = _REFUSED.get(machine or platform.machine())
    if known is None:
        return None
    architecture, calls = known
    numbers = sorted(set(calls.values()) - {calls["clone"], calls["clone3"]})
    ends = [(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _ERRNO | errno.EPERM)]
    body = [
        *((_EQUAL, len(numbers) - i, 0, n) for i, n in enumerate(numbers)),
        *ends,
    ]
    # The arguments of clone3 cannot be seen; told that it is missing, libraries use
    # clone, whose flags can.
    starts = [
        (_EQUAL, 0, 1, calls["clone3"]),
        (_RETURN, 0, 0, _ERRNO | errno.ENOSYS),
        (_EQUAL, 0, 4, calls["clone"]),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_ANY_BIT, 0, 1, _CLONE_THREAD if threads else 0),
        *ends,
    ]
    program = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
        # Calls of the x32 kind would pass under other numbers.
        (_AT_LEAST, 0, 1, _X32),
        (_RETURN, 0, 0, _KILL),
        *starts,
        *body,
    ]
    return b"".join(struct.pack("=HBBI", *step) for step in program)
