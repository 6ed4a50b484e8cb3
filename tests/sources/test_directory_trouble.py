"""Trouble outside is said, outlived, and followed by a look at everything."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest
from structlog.testing import capture_logs

from notifiers.clock import SYSTEM
from rules.request import Sensed
from sensord.sources import directory_ready
from sensord.sources.directory import DirectoryConfig, open_directory
from sensord.sources.directory_mounts import shared_mount
from sensord.sources.directory_tree import RootLostError
from sensord.sources.directory_watch import Kernel
from tests.sources.directory_kit import HandClock, Recorder, as_somebody, open_to_all, sensing, until

MAX_QUEUED = Path("/proc/sys/fs/inotify/max_queued_events")


async def test_a_missing_folder_is_said_once_it_is_missed_and_found_when_it_comes(tmp_path: Path) -> None:
    hand = HandClock()
    folder = tmp_path / "in"
    async with sensing(folder, clock=hand.clock, wait=False) as sensor:
        await until(lambda: sensor.emit.failures)
        assert sensor.emit.failures[0] == f"the folder {folder} does not exist; create it, mount it, or correct `path`"
        assert sensor.emit.recoveries == 0
        folder.mkdir()
        (folder / "a").write_bytes(b"1")
        await hand.pass_(5.0)
        await sensor.emitted(1)
        assert sensor.emit.recoveries == 1


async def test_waiting_for_a_folder_becomes_rarer_up_to_five_seconds(tmp_path: Path) -> None:
    hand = HandClock()
    async with sensing(tmp_path / "in", clock=hand.clock, wait=False) as sensor:
        tries = []
        for _ in range(200):
            await until(lambda: hand._sleepers)
            due = min(hand._sleepers.values())
            tries.append(due - hand.elapsed)
            count = len(sensor.emit.failures)
            hand.elapsed = due
            for event in list(hand._sleepers):
                event.set()
            await until(_longer(sensor.emit.failures, count))
            if tries[-1] == 5.0:
                break
    assert tries == sorted(tries)
    assert tries[-1] == 5.0


def _longer(texts: list[str], count: int) -> Callable[[], bool]:
    return lambda: len(texts) > count


async def test_a_file_in_the_folders_place_is_named_as_such(tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"1")
    async with sensing(tmp_path / "in", wait=False) as sensor:
        await until(lambda: sensor.emit.failures)
    assert sensor.emit.failures[0] == f"{tmp_path / 'in'} is no folder; correct `path`"


async def test_marks_outlive_a_folder_that_goes_and_comes_back(tmp_path: Path) -> None:
    hand = HandClock()
    folder = tmp_path / "in"
    folder.mkdir()
    async with sensing(folder, clock=hand.clock, recursive=True) as sensor:
        (folder / "sub").mkdir()
        (folder / "sub" / "a").write_bytes(b"1")
        await sensor.emitted(1)
        folder.rename(tmp_path / "away")
        await until(lambda: sensor.emit.failures)
        (tmp_path / "away" / "sub" / "b").write_bytes(b"1")
        (tmp_path / "away").rename(folder)
        await hand.pass_(5.0)
        await sensor.emitted(2)
        assert await sensor.heard() == ["sub/a", "sub/b"]
        assert sensor.emit.recoveries == 2
    assert sensor.emit.forgotten == set()


async def test_a_folder_replaced_by_another_is_listed_and_followed(tmp_path: Path) -> None:
    folder, new = tmp_path / "in", tmp_path / "new"
    folder.mkdir()
    new.mkdir()
    (new / "b").write_bytes(b"1")
    (tmp_path / "link").symlink_to(folder)
    async with sensing(tmp_path / "link", rescan=0.2) as sensor:
        (folder / "a").write_bytes(b"1")
        await sensor.emitted(1)
        (tmp_path / "link2").symlink_to(new)
        (tmp_path / "link2").replace(tmp_path / "link")  # Nothing in either folder changes.
        await sensor.emitted(2)
        (new / "c").write_bytes(b"1")
        await sensor.emitted(3)
        await sensor.listed()
        assert sensor.emit.forgotten == set()  # Marks of two folders are mixed.
        assert sensor.emit.cursor == "several"
    assert sensor.emit.names == ["a", "b", "c"]


def _mount(folder: Path) -> None:
    command = ["mount", "-t", "tmpfs", "none", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("mounting takes rights that we lack")


def _umount(folder: Path) -> None:
    subprocess.run(["umount", str(folder)], check=False, capture_output=True)


async def test_a_mount_that_goes_and_comes_forgets_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    _mount(folder)
    hand = HandClock()
    try:
        async with sensing(folder, clock=hand.clock) as sensor:
            (folder / "a").write_bytes(b"1")
            await sensor.emitted(1)
            await sensor.idle()
            _umount(folder)
            await until(lambda: sensor.emit.failures)
            assert "looks unmounted" in sensor.emit.failures[0]
            _mount(folder)
            (folder / "b").write_bytes(b"1")
            await hand.pass_(5.0)
            await sensor.emitted(2)
            await sensor.listed()
            assert sensor.emit.forgotten == set()
    finally:
        _umount(folder)


async def test_an_unreadable_sub_folder_is_named_and_the_rest_goes_on() -> None:
    hand = HandClock()
    with open_to_all() as folder, as_somebody():
        (folder / "sub").mkdir()
        (folder / "sub" / "a").write_bytes(b"1")
        (folder / "sub").chmod(0)
        async with sensing(folder, clock=hand.clock, recursive=True) as sensor:
            assert sensor.emit.failures == [
                f"the sub-folder {folder}/sub cannot be read: Permission denied; give it read and search permission"
            ]
            (folder / "b").write_bytes(b"1")
            await sensor.emitted(1)
            recoveries = sensor.emit.recoveries
            await hand.pass_(5.0)
            await until(lambda: len(sensor.emit.failures) == 2)
            await sensor.idle()
            (folder / "sub").chmod(0o755)
            await hand.pass_(5.0)
            await sensor.emitted(2)
            await until(lambda: sensor.emit.recoveries == recoveries + 1)
            (folder / "sub" / "c").write_bytes(b"1")
            await sensor.emitted(3)


async def test_an_unreadable_folder_is_said_and_outlived() -> None:
    hand = HandClock()
    with open_to_all() as folder, as_somebody():
        (folder / "in").mkdir(mode=0)
        async with sensing(folder / "in", clock=hand.clock, wait=False) as sensor:
            await until(lambda: sensor.emit.failures)
            assert "may not be read by user id" in sensor.emit.failures[0]
            (folder / "in").chmod(0o755)
            (folder / "in" / "a").write_bytes(b"1")
            await hand.pass_(5.0)
            await sensor.emitted(1)


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
    MAX_QUEUED.write_text(before)


async def test_an_overflow_of_the_kernels_queue_loses_nothing(tmp_path: Path, short_queue: int) -> None:
    emit = Recorder()
    async with sensing(tmp_path, emit, recursive=True) as sensor:
        (tmp_path / "old").write_bytes(b"1")
        await sensor.emitted(1)
        # The event loop does not come to read while these are made.
        for number in range(short_queue // 2 + 8):
            (tmp_path / f"{number}").write_bytes(b"1")
        (tmp_path / "sub" / "deep").mkdir(parents=True)
        (tmp_path / "sub" / "deep" / "x").write_bytes(b"1")
        with capture_logs() as logs:
            await sensor.emitted(short_queue // 2 + 10)
        assert any("everything is listed again" in log["event"] for log in logs)
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
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sensord.sources.directory_watch.Kernel", _Deaf)
    hand = HandClock()
    for name in "abc":
        (tmp_path / name).mkdir()
    with capture_logs() as logs:
        async with sensing(tmp_path, clock=hand.clock, recursive=True) as sensor:
            for name in "abc":
                (tmp_path / name / "x").write_bytes(b"1")
            await hand.pass_(2.0)
            await sensor.emitted(3)
    assert [log["reason"] for log in logs if log["event"] == "the folder is polled"] == ["inotify watch limit reached"]
    assert sensor.emit.failures == []


async def test_when_there_is_no_inotify_at_all_the_folder_is_polled_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(_: object) -> int:
        raise OSError(errno.EMFILE, "inotify instance limit reached")

    monkeypatch.setattr("watchdog.observers.inotify_c.InotifyFD._create_inotify_fd", none)
    hand = HandClock()
    with capture_logs() as logs:
        async with sensing(tmp_path, clock=hand.clock) as sensor:
            (tmp_path / "x").write_bytes(b"1")
            await hand.pass_(2.0)
            await sensor.emitted(1)
    assert "inotify instance limit reached" in str(logs)


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
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mountinfo = tmp_path / "mountinfo"
    folder = tmp_path / "in"
    folder.mkdir()
    mountinfo.write_text(f"36 35 0:40 / {folder} rw - nfs4 server:/x rw\n")
    monkeypatch.setattr("sensord.sources.directory_mounts.MOUNTINFO", mountinfo)
    # No such file system is at hand: what it would not say about open files is left unsaid here as well.
    monkeypatch.setattr("sensord.sources.directory_ready._lease", lambda _, status: ("unknown", status))
    hand = HandClock()
    with capture_logs() as logs:
        async with sensing(folder, clock=hand.clock) as sensor:
            (folder / "a").write_bytes(b"1")
            await hand.pass_(2.0)
            await until(lambda: sensor.waiting(b"a"))
            assert sensor.emit.names == []
            await hand.pass_(2.1)
            await sensor.emitted(1)
            first = sensor.emit.sensed[0]
    assert any("nfs4" in str(log) for log in logs)
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


async def test_a_thousand_sensors_share_one_inotify_and_need_no_thread(tmp_path: Path) -> None:
    import threading

    def inotifies() -> int:
        return sum("inotify" in os.path.realpath(fd) for fd in Path("/proc/self/fd").iterdir())

    before, threads = inotifies(), threading.active_count()
    emits = [Recorder() for _ in range(1_000)]
    async with anyio.create_task_group() as tasks:
        for number, emit in enumerate(emits):
            folder = tmp_path / f"{number}"
            folder.mkdir()
            source = await _enter(tasks, folder)
            tasks.start_soon(source.run, emit, None)
        await until(lambda: all(emit.looks for emit in emits))
        assert inotifies() == before + 1
        assert threading.active_count() <= threads + 8
        for number in range(1_000):
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


async def test_an_emit_that_fails_is_not_hidden(tmp_path: Path) -> None:
    class Broken(Recorder):
        async def __call__(self, sensed: Sequence[Sensed], cursor: str | None = None) -> None:
            raise RuntimeError(f"no room for {len(sensed)} at {cursor}")

    (tmp_path / "a").write_bytes(b"1")
    config = DirectoryConfig(path=tmp_path)
    async with open_directory("drop", config) as source:
        with pytest.raises(ExceptionGroup) as caught:
            await source.run(Broken(), None)
    assert caught.group_contains(RuntimeError, match="no room for 1")


async def test_sub_folders_may_come_and_go_while_everything_is_listed(tmp_path: Path) -> None:
    for number in range(50):
        (tmp_path / f"{number}").mkdir()
        (tmp_path / f"{number}" / "a").write_bytes(b"1")
    async with sensing(tmp_path, recursive=True, wait=False) as sensor:
        for number in range(50):
            if number % 2:
                shutil.rmtree(tmp_path / f"{number}")
            else:
                (tmp_path / f"{number}").rename(tmp_path / f"moved-{number}")
        await until(lambda: all(f"moved-{number}/a" in sensor.emit.names for number in range(0, 50, 2)))
        await sensor.listed()
        assert len(sensor.emit.names) == len(set(sensor.emit.names))
    assert sensor.emit.failures == []


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

    def late(fd: int, status: os.stat_result) -> Any:
        nonlocal asked
        asked += 1
        return ("held", status) if asked <= 2 else lease(fd, status)

    async with sensing(tmp_path, clock=hand.clock) as sensor:
        monkeypatch.setattr(directory_ready, "_lease", late)
        (tmp_path / "a").write_bytes(b"1")
        await until(lambda: asked == 1)
        await hand.pass_(0.001)
        await until(lambda: asked == 2)
        await hand.pass_(0.002)
        await sensor.emitted(1)


async def test_events_of_a_mounted_sub_folder_are_heard_and_its_unmounting_is_followed(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "under").write_bytes(b"1")
    _mount(tmp_path / "sub")
    try:
        async with sensing(tmp_path, recursive=True) as sensor:
            (tmp_path / "sub" / "a").write_bytes(b"1")
            await sensor.emitted(1)
            await sensor.idle()
            _umount(tmp_path / "sub")
            await sensor.emitted(2)
    finally:
        _umount(tmp_path / "sub")
    assert sensor.emit.names == ["sub/a", "sub/under"]
