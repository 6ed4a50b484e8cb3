"""Where the kernel's events fall short: full queues, no watches, shared file systems, races."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from notifiers.clock import SYSTEM
from sensord.sources import directory_ready
from sensord.sources.directory import DirectoryConfig, open_directory
from sensord.sources.directory_mounts import shared_mount
from sensord.sources.directory_tree import RootLostError
from sensord.sources.directory_watch import Kernel
from tests.sources.directory_kit import HandClock, Recorder, sensing, until

MAX_QUEUED = Path("/proc/sys/fs/inotify/max_queued_events")
USUAL = 16_384


@pytest.fixture
def short_queue() -> Iterator[int]:
    """The kernel keeps few events for us."""
    try:
        before = MAX_QUEUED.read_text()
        MAX_QUEUED.write_text("64")
    except OSError:
        yield int(MAX_QUEUED.read_text())
        return
    yield 64
    MAX_QUEUED.write_text(str(max(int(before), USUAL)))  # Another test may have had it short.


async def test_an_overflow_of_the_kernels_queue_loses_nothing(
    tmp_path: Path, short_queue: int, caplog: pytest.LogCaptureFixture
) -> None:
    emit = Recorder()
    async with sensing(tmp_path, emit, recursive=True) as sensor:
        (tmp_path / "old").write_bytes(b"1")
        await sensor.emitted(1)
        # The event loop does not come to read while these are made.
        for number in range(short_queue // 2 + 8):
            (tmp_path / f"{number}").write_bytes(b"1")
        (tmp_path / "sub" / "deep").mkdir(parents=True)
        (tmp_path / "sub" / "deep" / "x").write_bytes(b"1")
        await sensor.emitted(short_queue // 2 + 10)
        assert "all is listed again" in caplog.text
        (tmp_path / "sub" / "deep" / "y").write_bytes(b"1")
        await sensor.emitted(short_queue // 2 + 11)
        await sensor.listed()
    assert sorted(sensor.emit.names) == sorted(
        ["old", "sub/deep/x", "sub/deep/y", *map(str, range(short_queue // 2 + 8))]
    )


async def test_a_folder_deleted_unheard_is_let_go_by_the_listing(tmp_path: Path, short_queue: int) -> None:
    async with sensing(tmp_path, recursive=True) as sensor:
        for number in range(short_queue):
            (tmp_path / f"{number}").mkdir()
        await until(lambda: len(sensor.tree.children) == short_queue)
        await sensor.idle()
        for number in range(short_queue):
            (tmp_path / f"{number}").rmdir()
        await sensor.listed()
        assert not sensor.tree.children


class _Deaf(Kernel):
    """A kernel that gives two watches and no more."""

    given = 0

    def watch(self, fd: int, folder: Any, listener: Any) -> Any:
        _Deaf.given += 1
        if _Deaf.given > 2:
            raise OSError(errno.ENOSPC, "inotify watch limit reached")
        return super().watch(fd, folder, listener)


async def test_when_the_kernel_has_no_watch_left_folders_are_polled_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("sensord.sources.directory_watch.Kernel", _Deaf)
    hand = HandClock()
    for name in "abc":
        (tmp_path / name).mkdir()
    async with sensing(tmp_path, clock=hand.clock, recursive=True) as sensor:
        for name in "abc":
            (tmp_path / name / "x").write_bytes(b"1")
        await hand.pass_(2.0)
        await sensor.emitted(3)
    polled = [record for record in caplog.records if record.message == "the folder is polled"]
    assert [vars(record)["reason"] for record in polled] == ["inotify watch limit reached"]
    assert sensor.emit.failures == []


async def test_when_there_is_no_inotify_at_all_the_folder_is_polled_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def none() -> int:
        ctypes.set_errno(errno.EMFILE)
        return -1

    monkeypatch.setattr("sensord.sources.directory_watch.inotify_init", none)
    hand = HandClock()
    async with sensing(tmp_path, clock=hand.clock) as sensor:
        (tmp_path / "x").write_bytes(b"1")
        await hand.pass_(2.0)
        await sensor.emitted(1)
    assert "inotify instance limit reached" in str([vars(record) for record in caplog.records])


async def test_polling_finds_new_files_at_once_and_changed_ones_at_the_next_rescan(tmp_path: Path) -> None:
    hand = HandClock()
    (tmp_path / "sub").mkdir()
    path = tmp_path / "sub" / "a"
    async with sensing(tmp_path, clock=hand.clock, poll=7.0, rescan=70.0, recursive=True) as sensor:
        path.write_bytes(b"1")
        assert not sensor.emit.names
        await hand.pass_(7.0)
        await sensor.emitted(1)
        await hand.pass_(7.0)
        await sensor.idle()
        with path.open("r+b") as file:
            file.write(b"22")
        await hand.pass_(70.0)
        await sensor.emitted(2)
    assert sensor.emit.names == ["sub/a", "sub/a"]


async def test_a_shared_file_system_is_polled_and_its_files_must_settle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    mountinfo = tmp_path / "mountinfo"
    folder = tmp_path / "in"
    folder.mkdir()
    mountinfo.write_text(f"36 35 0:40 / {folder} rw - nfs4 server:/x rw\n")
    monkeypatch.setattr("sensord.sources.directory_mounts.MOUNTINFO", mountinfo)
    # No such file system is at hand: what it would not say about open files is left unsaid here as well.
    monkeypatch.setattr("sensord.sources.directory_ready._lease", lambda fd: ("unknown", os.fstat(fd)))
    hand = HandClock()
    async with sensing(folder, clock=hand.clock) as sensor:
        (folder / "a").write_bytes(b"1")
        await hand.pass_(2.0)
        await until(lambda: sensor.waiting(b"a"))
        assert sensor.emit.names == []
        await hand.pass_(2.1)
        await sensor.emitted(1)
        first = sensor.emit.sensed[0]
    assert "nfs4" in str([vars(record) for record in caplog.records])
    assert first.mark is not None


MOUNTS = r"""22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 22 0:30 / /proc rw - proc proc rw
41 22 0:41 / /mnt/my\040share rw - cifs //server/share rw
42 22 0:42 / /data rw - ext4 /dev/vdb rw
43 42 0:43 / /data/remote rw shared:7 master:2 - fuse.sshfs host: rw
44 22 0:44 / /over rw - nfs server:/x rw
45 22 0:45 / /over rw - ext4 /dev/vdc rw
46 22 0:46 / /layers rw - overlay overlay rw,lowerdir=/a
47 22 0:47 / /shm rw - tmpfs tmpfs rw
nonsense
"""


@pytest.mark.parametrize(
    ("path", "below", "kind"),
    [
        ("/", False, None),
        ("/home/x", True, None),
        ("/mnt/my share", True, "cifs"),
        ("/mnt/my share/sub", False, "cifs"),
        ("/mnt/my", True, None),
        ("/data", False, None),
        ("/data", True, "fuse.sshfs"),
        ("/data/remote/x", False, "fuse.sshfs"),
        ("/data/remoter", True, None),
        ("/over", True, None),
        ("/layers/x", True, None),
        ("/shm", True, None),
        ("/", True, "cifs"),
    ],
)
def test_mounts_that_others_change_are_recognised(path: str, below: bool, kind: str | None) -> None:
    assert shared_mount(path, MOUNTS, below=below) == kind


async def test_hundreds_of_sensors_share_one_inotify_and_need_no_thread_each(tmp_path: Path) -> None:
    import threading

    def inotifies() -> int:
        return sum("inotify" in os.path.realpath(fd) for fd in Path("/proc/self/fd").iterdir())

    before, threads = inotifies(), threading.active_count()
    emits = [Recorder() for _ in range(300)]
    async with anyio.create_task_group() as tasks:
        for number, emit in enumerate(emits):
            folder = tmp_path / f"{number}"
            folder.mkdir()
            source = await _enter(tasks, folder)
            tasks.start_soon(source.run, emit, None)
        await until(lambda: all(emit.looks for emit in emits))
        assert inotifies() == before + 1
        assert threading.active_count() <= threads + 8
        for number in range(300):
            (tmp_path / f"{number}" / "a").write_bytes(b"1")
        await until(lambda: all(emit.sensed for emit in emits))
        tasks.cancel_scope.cancel()
    assert inotifies() == before


async def _enter(tasks: Any, folder: Path) -> Any:
    """Open a source that is closed when the task group ends."""

    async def hold(*, task_status: Any) -> None:
        async with open_directory("drop", DirectoryConfig(path=folder), clock=SYSTEM) as source:
            task_status.started(source)
            await anyio.sleep_forever()

    return await tasks.start(hold)


def test_a_writer_that_opens_a_file_just_as_it_is_asked_about_does_no_harm(tmp_path: Path) -> None:
    """Without care the kernel's signal to the lease's holder would end this process."""
    from sensord.sources.directory_ready import look_at
    from sensord.sources.directory_tree import Folder

    path = tmp_path / "a"
    path.write_bytes(b"1")
    status = tmp_path.stat()
    root = Folder(b"", None, status.st_dev, status.st_ino)
    script = "import os, sys\nfor _ in range(20_000): os.close(os.open(sys.argv[1], os.O_WRONLY))"
    writer = subprocess.Popen([sys.executable, "-c", script, str(path)])
    holds = []
    while writer.poll() is None:
        [finding] = look_at(os.fsencode(tmp_path), root, [(root, b"a")], lambda _: None, lambda *_: False)
        holds.append(finding.hold)
    assert writer.returncode == 0
    assert {"free", "held"} <= set(holds)
    assert signal.getsignal(signal.SIGIO) == signal.SIG_DFL


async def test_what_was_found_whole_is_emitted_even_if_the_folder_is_lost_at_that_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hand = HandClock()
    async with sensing(tmp_path, clock=hand.clock) as sensor:
        files = sensor.source._files
        look, looks = files.look, 0

        def lost_at_the_second(*arguments: Any) -> Any:
            nonlocal looks
            looks += 1
            if looks == 2:
                raise RootLostError("gone for a moment")
            return look(*arguments)

        monkeypatch.setattr(files, "look", lost_at_the_second)
        for number in range(200):  # More than one look takes.
            (tmp_path / f"{number}").write_bytes(b"1")
        await sensor.emitted(200)
        await sensor.listed()
    assert sorted(sensor.emit.names) == sorted(map(str, range(200)))


async def test_a_file_that_still_counts_as_open_when_its_close_is_told_is_asked_about_again_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel tells of a close before it takes the file off its list of files that are written."""
    hand = HandClock()
    lease, asked = directory_ready._lease, 0

    def late(fd: int) -> Any:
        nonlocal asked
        asked += 1
        return ("held", os.fstat(fd)) if asked <= 2 else lease(fd)

    async with sensing(tmp_path, clock=hand.clock) as sensor:
        monkeypatch.setattr(directory_ready, "_lease", late)
        (tmp_path / "a").write_bytes(b"1")
        await until(lambda: asked == 1)
        await hand.pass_(0.001)
        await until(lambda: asked == 2)
        await hand.pass_(0.002)
        await sensor.emitted(1)
