"""While the other side is away, those who wait for it cost the disk nothing."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from sensord.elsewhere_notes import Note, Notes
from sensord.elsewhere_reach import reach
from sensord.elsewhere_side import AwayError
from tests.doubles.rest import Plain
from tests.launchers.command_kit import new_run
from tests.launchers.conformance_entries import PLAIN
from tests.launchers.conformance_kit import living, until

TRIES = 5


async def test_tries_that_find_nobody_are_noted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[bool] = []
    write = Notes.write

    async def counted(self: Notes, token: str, note: Note) -> None:
        written.append(note.sent)
        await write(self, token, note)

    monkeypatch.setattr(Notes, "write", counted)
    run = new_run(path="a")
    with Plain().served() as double:
        assert isinstance(double, Plain)
        double.down()
        async with living(tmp_path, PLAIN.format(url=double.url, timeout="1h"), launch=run) as daemon:

            def tries() -> int:
                log = daemon.launcher.log(run.id, 1, run.requested_at)
                return 0 if log is None else log.read_text().count("cannot be reached")

            await until(lambda: tries() >= TRIES)
            assert written == [True, False], "that it was intended, and that it came to nothing"
            double.up()
            await daemon.has_begun()
            double.finish(run.token)
            assert (await daemon.outcome()).status == "succeeded"
        assert (double.keys, written[2:]) == ([run.token], [True, True])


async def test_whether_somebody_listens_is_asked_without_a_word() -> None:
    with Plain().served() as double:
        await reach(double.url, "there", 5.0)
        double.down()
        with pytest.raises(AwayError, match="there cannot be reached"):
            await reach(double.url, "there", 5.0)
        double.up()
        await anyio.lowlevel.checkpoint()
        assert double.requests == []
