"""What the supervisor asks Linux for: starting a process group, finding one again, ending it, cutting its log.

This file belongs to the supervisor process: only the standard library is imported, and nothing of this package.
"""

# Paths are below an open folder, which pathlib cannot be given; and pathlib is slow to import.
# ruff: noqa: PTH110, PTH112, PTH113, PTH120, PTH123, PTH208

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import signal
import struct
import time
from collections.abc import Iterator

_TICK = 1 / os.sysconf("SC_CLK_TCK")
_ignored: list[int] = []
_PUNCH_HOLE, _KEEP_SIZE = 2, 1
# linux/pidfd.h: struct pidfd_info is 64 bytes in its first version, with its mask first and exit_code last.
_PIDFD_GET_INFO, _PIDFD_INFO_EXIT = 0xC040FF0B, 8
PAGE = 4096
_MAKE = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


class NotStartedError(Exception):
    """The process could not be made; the text says why, for a person."""


def boot_id() -> str:
    """What tells this boot of the machine from every other."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()


def prepare() -> None:
    """Make this process ready to start others: outlive polite signals, and have nothing to read."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    # What is ignored here (by Python and nohup as well) would be in the processes too.
    _ignored[:] = [number for number in signal.valid_signals() if signal.getsignal(number) == signal.SIG_IGN]
    nothing = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    os.dup2(nothing, 0)
    os.close(nothing)


def make_files(folder: int, path: str, config: str) -> int:
    """Make an attempt's config file; return its open log. Their paths begin with `path`, runs/DAY/TOKEN in `folder`."""
    try:
        file = os.open(f"{path}.config.json", _MAKE | os.O_TRUNC, 0o600, dir_fd=folder)
    except FileNotFoundError:  # The first of its day.
        for parent in ("runs", os.path.dirname(path)):
            with contextlib.suppress(FileExistsError):
                os.mkdir(parent, 0o700, dir_fd=folder)
        file = os.open(f"{path}.config.json", _MAKE | os.O_TRUNC, 0o600, dir_fd=folder)
    try:
        data = memoryview(config.encode())
        while data:
            data = data[os.write(file, data) :]
    finally:
        os.close(file)
    return os.open(f"{path}.log", _MAKE | os.O_APPEND, 0o600, dir_fd=folder)


def spawn(
    argv: list[str], env: dict[str, str], cwd: str, log: int | None, link: int | None = None
) -> tuple[int, list[int]]:
    """Start a process in a session and group of its own, its output appended to `log`, with `link` as descriptor 3.

    Return its pid, and the first and last tick since boot in which it may have started.

    posix_spawn shares memory with the child until it runs the program, so the cost does not grow with this process.
    It cannot change the folder, so this process does; nothing here relies on a current folder.
    """
    try:
        os.chdir(cwd)
    except OSError as error:
        raise NotStartedError(f"the working directory {cwd!r} cannot be entered: {error.strerror}") from None
    program = argv[0] if "/" in argv[0] else _program(argv[0], env)
    nowhere = [(os.POSIX_SPAWN_OPEN, number, "/dev/null", os.O_WRONLY, 0) for number in (1, 2)]
    output = nowhere if log is None else [(os.POSIX_SPAWN_DUP2, log, 1), (os.POSIX_SPAWN_DUP2, log, 2)]
    if link is not None:
        output = [(os.POSIX_SPAWN_DUP2, link, 3), *output]
    before = _ticks()
    try:
        pid = os.posix_spawn(program, argv, env, file_actions=output, setsid=True, setsigmask=[], setsigdef=_ignored)
    except (ValueError, TypeError) as error:
        raise NotStartedError(f"the command cannot be started: {error}") from None
    except OSError as error:
        raise NotStartedError(_why(program, error)) from None
    return pid, [before, _ticks()]


def _ticks() -> int:
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) / _TICK)


def _program(name: str, env: dict[str, str]) -> str:
    for folder in env.get("PATH", os.defpath).split(":"):
        path = f"{folder or '.'}/{name}"
        if os.access(path, os.X_OK) and os.path.isfile(path):
            return path
    raise NotStartedError(f"command not found: {name!r} is in no directory of PATH")


def _why(program: str, error: OSError) -> str:
    if error.errno == errno.ENOENT and not os.path.exists(program):
        return f"command not found: {program!r}"
    reasons = {
        errno.ENOENT: "its interpreter (the #! line) was not found",
        errno.ENOEXEC: "it is neither a program nor a script with a #! line",
        errno.E2BIG: "its arguments and environment are too long for the system",
        errno.EACCES: "it is a directory" if os.path.isdir(program) else "it may not be executed",
    }
    return f"the command {program!r} cannot be started: {reasons.get(error.errno or 0) or error.strerror}"


def _stat(pid: int | str) -> list[str] | None:
    """The fields of /proc/PID/stat after the name: state, parent, group, session, …; None without such a process."""
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            text = file.read().decode("latin-1")
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text[text.rindex(")") + 2 :].split()


def start_tick(pid: int) -> int | None:
    """The tick since boot in which a process started: with its pid it names the process for good. None: it is gone."""
    fields = _stat(pid)
    return None if fields is None else int(fields[19])


def is_process(pid: int, since: list[int]) -> bool:
    """Whether that pid is (still, a zombie included) the process that started in those ticks."""
    fields = _stat(pid)
    return fields is not None and since[0] <= int(fields[19]) <= since[1]


def open_process(pid: int, since: list[int]) -> int | None:
    """A pidfd of exactly that process, a zombie included; None when it is gone."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    if is_process(pid, since):
        return pidfd
    os.close(pidfd)
    return None


def started_at(tick: int) -> int:
    """A tick since boot as microseconds since 1970."""
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - tick * _TICK
    return int((time.time() - age) * 1_000_000)


def group_lives(group: int) -> bool:
    """Whether a process of that group is neither ended nor a zombie."""
    for pid in _pids():
        fields = _stat(pid)
        if fields is not None and int(fields[2]) == group and fields[0] not in "ZX":
            return True
    return False


def find(run_id: str, attempt: str) -> tuple[int, list[int]] | None:
    """The process that leads the session of that attempt, told by its environment, and when it started."""
    wanted = {f"SENSORD_RUN_ID={run_id}".encode(), f"SENSORD_ATTEMPT={attempt}".encode()}
    for pid in _pids():
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                found = wanted <= set(file.read().split(b"\0"))
        except OSError:  # Ended meanwhile, or another user's.
            continue
        fields = _stat(pid) if found else None
        if fields is not None and fields[3] == pid:
            return int(pid), [int(fields[19])] * 2
    return None


def _pids() -> Iterator[str]:
    return (name for name in os.listdir("/proc") if name.isdecimal())


def has_ended(pidfd: int) -> bool:
    """Whether the process has ended, reaped or not."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))


def signal_group(group: int, number: int) -> None:
    """Signal every process of the group, if there still is one."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return


def exit_code(pid: int, since: list[int], pidfd: int) -> int | None:
    """The exit code (minus the signal) of an ended process, which is reaped if it is our child.

    Another's child shows its status while it is a zombie, but 0 also to whoever may not see it, so 0 is not believed
    there; from Linux 6.15 on its pidfd tells once it is reaped. None: nobody can tell, or not yet.
    """
    try:
        reaped, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        pass
    else:
        # 0: it has ended, but a debugger is told first. Its status, 0 as well, means nothing.
        return os.waitstatus_to_exitcode(status) if reaped else None
    fields = _stat(pid)
    same = fields is not None and since[0] <= int(fields[19]) <= since[1]
    if fields is not None and same and fields[0] == "Z" and int(fields[49]) != 0:
        return os.waitstatus_to_exitcode(int(fields[49]))
    info = bytearray(64)
    struct.pack_into("Q", info, 0, _PIDFD_INFO_EXIT)
    try:
        fcntl.ioctl(pidfd, _PIDFD_GET_INFO, info)
    except OSError:
        return None
    if not struct.unpack_from("Q", info)[0] & _PIDFD_INFO_EXIT:
        return None
    return os.waitstatus_to_exitcode(struct.unpack_from("i", info, 60)[0])


def cut(folder: int, path: str, limit: int) -> None:
    """Keep the first quarter and the last three quarters of `limit` bytes of a file; give the middle back.

    The file keeps its size and its writers; what was cut is a hole. OSError EOPNOTSUPP: the file system has none.
    """
    import ctypes  # Rarely needed, and slow to load.

    file = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        head = max(limit // 4 // PAGE, 1) * PAGE
        tail = (os.fstat(file).st_size - limit * 3 // 4) // PAGE * PAGE
        if tail <= head:
            return
        libc = ctypes.CDLL(None, use_errno=True)
        args = (ctypes.c_int(file), ctypes.c_int(_PUNCH_HOLE | _KEEP_SIZE), ctypes.c_long(head))
        if libc.fallocate(*args, ctypes.c_long(tail - head)) != 0:
            raise OSError(ctypes.get_errno(), "fallocate")
    finally:
        os.close(file)


def append(folder: int, path: str, line: str) -> None:
    """Add a line to a file, if that can be done."""
    with contextlib.suppress(OSError):
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
        with open(file, "w", encoding="utf-8") as log:
            log.write(line)
