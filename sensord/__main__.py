"""`python -m sensord`."""

from __future__ import annotations

from sensord.cli import main

main()
