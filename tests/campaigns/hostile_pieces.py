"""The hostile documents in pieces, by as many processes as there are cores; what was judged need not be judged again.

`python -m tests.campaigns.hostile_pieces [lengths] [documents] [--from N] [--to N] [--processes N]`: every length up to
200,000 in steps of 97 in three scripts, then a million documents, for Telegram and for Slack. Whoever ends it, or has
to, goes on with the `--from` that was printed last.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator, Sequence

from msgspec import Struct

from notifiers.message import Message, Text

CHANNELS = ("telegram", "slack")
LENGTHS = range(0, 200_001, 97)
MILLION = 1_000_000
AT_ONCE = 2_000
EVERY_S = 30.0


class Piece(Struct, frozen=True):
    """Some of the work for one channel: documents by their number, or lengths in a script."""

    channel: str
    numbers: range
    script: str = ""


def documents(numbers: range) -> Iterator[Piece]:
    """These documents for both channels, in order."""
    for start in range(numbers.start, numbers.stop, AT_ONCE):
        for channel in CHANNELS:
            yield Piece(channel, range(start, min(start + AT_ONCE, numbers.stop)))


def lengths(channel: str, script: str) -> Iterator[Piece]:
    """Every length; those of a piece are far apart, so that all pieces take as long."""
    for start in range(20):
        yield Piece(channel, LENGTHS[start::20], script)


def judge(piece: Piece) -> tuple[Piece, int, str]:
    """Judge it all: the piece, how many held, and what is wrong with the one after them; empty if nothing is."""
    from tests.campaigns.hostile import Slack, Telegram, document, sized

    service = Telegram() if piece.channel == "telegram" else Slack()
    for done, number in enumerate(piece.numbers):
        try:
            if piece.script:
                service(Message(title="t", body=[Text(sized(piece.script, number))]))
            else:
                service(document(number))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is said with its number
            which = f"{piece.script}, {number} characters" if piece.script else f"document({number})"
            return piece, done, f"{piece.channel}: {which}: {type(error).__name__}: {error}"
    return piece, len(piece.numbers), ""


def run(pieces: Sequence[Piece], processes: int) -> list[str]:
    """Judge all pieces and say how far it is; what was found wrong, and it stops at the first."""
    begin = said = time.perf_counter()
    count = dict.fromkeys(CHANNELS, 0)
    # Not forked: TDLib has threads.
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        for piece, done, wrong in pool.imap(judge, pieces):
            count[piece.channel] += done
            if wrong:
                return [wrong]
            now = time.perf_counter()
            if now - said > EVERY_S or piece == pieces[-1]:
                said = now
                at = piece.script or f"go on with --from {piece.numbers.start}"
                print(f"{count['telegram']:,} for Telegram, {count['slack']:,} for Slack, {now - begin:.0f} s; {at}")
                sys.stdout.flush()
    print(f"all hold: {count['telegram']:,} for Telegram, {count['slack']:,} for Slack", flush=True)
    return []


def main() -> int:
    """Judge what the command line says."""
    from tests.campaigns.hostile import SCRIPTS

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", metavar="lengths|documents", help="by default both, lengths first")
    parser.add_argument("--from", dest="first", type=int, default=0, help="the first document")
    parser.add_argument("--to", type=int, default=MILLION, help="the document before which to stop")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    for what in given.what or ("lengths", "documents"):
        if what == "lengths":
            pieces = [one for script in SCRIPTS for channel in CHANNELS for one in lengths(channel, script)]
        elif what == "documents":
            pieces = list(documents(range(given.first, given.to)))
        else:
            parser.error(f"{what!r} is neither lengths nor documents")
        if wrong := run(pieces, given.processes):
            print("\n".join(wrong), file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
