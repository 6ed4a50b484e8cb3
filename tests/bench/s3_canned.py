"""A bucket that answers without thinking: pages of a listing, in a process of its own."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import repeat
from urllib.parse import parse_qs, quote, urlsplit

from sensord.sources.s3_objects import marks_in

KEYS = 100_000
FOLDERS, PAGE = 16, 1_000
ODD = " часть вторая и ещё"
"""What names of another alphabet have in them: each letter of it comes in six characters."""
ETAG = "d41d8cd98f00b204e9800998ecf8427e"
SIZE = 1_048_576
HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'


def key_of(number: int, keys: int) -> str:
    """The key of that number; they sort as their numbers do."""
    return f"landing/{number * FOLDERS // keys:02}/2026/11/20/part-{number:09}-3f2b8c1d9e.parquet"


def marks_of(keys: int) -> list[int]:
    """What a sensor remembers that has seen all of them."""
    return marks_in("lab")((key_of(number, keys) for number in range(keys)), repeat(ETAG, keys))


class Canned(asyncio.Protocol):
    """A bucket of so many keys in `FOLDERS` folders. Pages are made when they are asked for first."""

    keys = KEYS
    odd = ""
    pages: dict[tuple[str, str], bytes] = {}  # noqa: RUF012 (one for all connections)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport, self.read = transport, b""

    def data_received(self, data: bytes) -> None:
        self.read += data
        while (end := self.read.find(b"\r\n\r\n")) >= 0:
            line, self.read = self.read[:end].partition(b"\r\n")[0].decode(), self.read[end + 4 :]
            query = {name: values[0] for name, values in parse_qs(urlsplit(line.split()[1]).query).items()}
            self.transport.write(self.answer(query))

    def answer(self, query: dict[str, str]) -> bytes:
        prefix = query.get("prefix", "")
        if "delimiter" in query:
            return _response(self._folders(prefix), "false", "")
        start = int(query["continuation-token"]) if "continuation-token" in query else self._first(query, prefix)
        place = (prefix, str(start))
        if place not in self.pages:
            made = self._page(prefix, start)
            if self.keys > KEYS:
                return made  # A million keys are a quarter of a gigabyte.
            self.pages[place] = made
        return self.pages[place]

    def _first(self, query: dict[str, str], prefix: str) -> int:
        after = max(query.get("start-after", ""), prefix)
        if found := re.search(r"part-(\d+)", after):
            return int(found[1]) + 1
        folder = re.match(r"landing/(\d+)/", after)
        return -(-int(folder[1]) * self.keys // FOLDERS) if folder else 0

    def _folders(self, prefix: str) -> str:
        below = [f"landing/{number:02}/" for number in range(FOLDERS)] if prefix == "landing/" else []
        names = ["landing/"] if prefix == "" else below
        return "".join(f"<CommonPrefixes><Prefix>{name}</Prefix></CommonPrefixes>" for name in names)

    def _page(self, prefix: str, start: int) -> bytes:
        folder = re.match(r"landing/(\d+)/", prefix)
        stop = -(-(int(folder[1]) + 1) * self.keys // FOLDERS) if folder else self.keys
        end = min(start + PAGE, stop)
        contents = "".join(
            f"<Contents><Key>{key_of(number, self.keys)}{self.odd}</Key>"
            f"<LastModified>2026-11-20T12:00:00.000Z</LastModified><ETag>&quot;{ETAG}&quot;</ETag><Size>{SIZE}</Size><StorageClass>STANDARD</StorageClass></Contents>"
            for number in range(start, end)
        )
        token = f"<NextContinuationToken>{end}</NextContinuationToken>" if end < stop else ""
        return _response(contents, "true" if token else "false", token)


def _response(contents: str, truncated: str, token: str) -> bytes:
    said = f"<Name>lab</Name><EncodingType>url</EncodingType>{token}<IsTruncated>{truncated}</IsTruncated>"
    body = f"{HEAD}{said}{contents}</ListBucketResult>".encode()
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


async def serve(keys: int, odd: str) -> None:
    """Serve that many keys, with that behind each; says where."""
    Canned.keys, Canned.odd = keys, quote(odd, safe="")
    server = await asyncio.get_running_loop().create_server(Canned, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextmanager
def canned(keys: int, odd: str = "") -> Iterator[str]:
    """The canned server, in a process of its own. `odd` stands behind each key."""
    command = [sys.executable, "-m", "tests.bench.s3_canned", str(keys), odd]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), sys.argv[2]))
