"""The program `sensord`, and `python -m sensord`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command that is asked for. `wrap` stands before other people's commands, so it loads nothing else."""
    if sys.argv[1:2] == ["wrap"]:
        from sensord.wrapping import main as wrap

        sys.exit(wrap(sys.argv[2:]))
    from sensord.cli import main as cli

    cli()


if __name__ == "__main__":
    main()
