"""A bucket on a real server, which checks signatures: a folder that a test may fill."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sources.s3_kit import rclone


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    folder = tmp_path_factory.mktemp("s3")
    with rclone(folder) as url:
        yield folder, url


@pytest.fixture
def bucket(server: tuple[Path, str]) -> Iterator[Path]:
    """The folder of the bucket `data`, empty."""
    folder = server[0] / "data"
    folder.mkdir()
    yield folder
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    folder.rmdir()


@pytest.fixture
def url(server: tuple[Path, str]) -> str:
    return server[1]


def put(bucket: Path, key: str, text: str = "a,b\n") -> None:
    path = bucket / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
