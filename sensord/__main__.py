"""The program `sensord`, and `python -m sensord`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command that is asked for.

    `wrap` stands before other people's commands, so it loads nothing else; nor does `run`, which has enough to load.
    """
    if sys.argv[1:2] == ["wrap"]:
        from sensord.wrapping import main as wrap

        sys.exit(wrap(sys.argv[2:]))
    if sys.argv[-1:] == ["run"]:
        from sensord.starting import plainly_asked, run_here

        if (asked := plainly_asked(sys.argv[1:])) is not None:
            sys.exit(run_here(*asked))
    from sensord.cli import main as cli

    cli()


if __name__ == "__main__":
    main()
