"""`limit=5` among the filters of a list is `--limit 5`, in the command line and in a chat."""

from __future__ import annotations

import pytest

from rules.commands import CommandError, limit_of
from sensord.cli.options import page


def test_a_limit_among_the_filters_is_asked_for_once() -> None:
    assert page(["job=load", "limit=5"], 50) == [("job", "load"), ("limit", "5")]
    assert page(["after=x"], 50, "y") == [("limit", "50"), ("after", "x")]
    assert page(None, 7) == [("limit", "7")]


def test_a_chat_takes_a_limit_as_it_is_written_there_or_in_the_command_line() -> None:
    assert limit_of(["load", "limit=5"], 15) == (["load"], 5)
    assert limit_of(["--limit=5"], 15) == ([], 5)
    assert limit_of(["load"], 15) == (["load"], 15)
    for wrong in ("0", "16", "-1", "x", "", "٣"):
        with pytest.raises(CommandError, match="limit is a number from 1 to 15"):
            limit_of([f"limit={wrong}"], 15)
