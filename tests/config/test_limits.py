from __future__ import annotations

from pathlib import Path

import pytest

from sensord.config.yaml import MAX_BYTES, MAX_DEPTH, MAX_NODES
from tests.config.writing import problems


def test_a_bomb_of_aliases_is_refused_before_it_grows(tmp_path: Path) -> None:
    levels = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12))
    (found,) = problems(tmp_path, f"a0: &a0 [x]\n{levels}")
    assert "once its aliases are replaced" in found.found


def test_a_bomb_of_merges_is_refused_before_it_grows(tmp_path: Path) -> None:
    wide = "base: &b\n" + "".join(f"  k{n}: 1\n" for n in range(1000))
    (found,) = problems(tmp_path, wide + f"x: {{<<: [{', '.join(['*b'] * 100)}]}}\n")
    assert found.found == f"more than {MAX_NODES} values"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("#" * MAX_BYTES + "\n", "larger than 1 MiB"),
        ("a: " + "[" * 60_000, f"nested deeper than {MAX_DEPTH} levels"),
        ("a:\n" + "".join(" " * n + "- \n" for n in range(1, 400)), f"nested deeper than {MAX_DEPTH} levels"),
        (
            "a0: &a0 [" + "[" * 50 + "]" * 51 + "\nb: " + "[" * 50 + "*a0" + "]" * 50 + "\n",
            f"nested deeper than {MAX_DEPTH}",
        ),
        ("a: [" + "1," * (MAX_NODES + 1) + "]", f"more than {MAX_NODES} values"),
        ("a: " + "9" * 5000, "a number of more than 64 bits; put it in quotes to make it text"),
        (f"a: {2**64}", "a number of more than 64 bits"),
    ],
)
def test_size_depth_and_count_are_limited(tmp_path: Path, text: str, complaint: str) -> None:
    assert any(complaint in str(found) for found in problems(tmp_path, text))
