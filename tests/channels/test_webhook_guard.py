"""What a webhook may not reach, however its address is written: not one connection is attempted."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import anyio
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from hypothesis import given, settings
from hypothesis import strategies as st

from notifiers.channels import DeliveryError, Reason
from notifiers.channels.webhook import WebhookConfig, open_webhook
from notifiers.channels.webhook_guard import public
from notifiers.message import Message
from notifiers.settings import Secret
from tests.doubles.webhook import WebhookDouble, running

PRIVATE = [
    "127.0.0.1", "127.255.255.254", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1",
    "169.254.169.254", "100.64.0.1", "100.100.100.200", "100.127.255.255", "224.0.0.1", "239.255.255.255",
    "255.255.255.255", "240.0.0.1", "192.0.0.1", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1",
    "192.88.99.1", "168.63.129.16", "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:169.254.169.254",
    "::ffff:10.0.0.1", "fe80::1", "fe80::1%lo", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1", "ff0e::1",
    "2001:db8::1", "2002:7f00:1::", "2002:a9fe:a9fe::", "2001:0:7f00:1::", "64:ff9b::127.0.0.1",
    "64:ff9b::169.254.169.254", "64:ff9b:1::8.8.8.8", "100::1",
]  # fmt: skip
PUBLIC = ["8.8.8.8", "1.1.1.1", "100.63.255.255", "100.128.0.1", "172.32.0.1", "2606:4700::1111", "2a00:1450::1",
          "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"]  # fmt: skip

_tries: list[Any] | None = None


def _spy(event: str, args: tuple[Any, ...]) -> None:
    """Note each connect of an internet socket and, so that none leaves this machine, stop those going out."""
    if _tries is None or event not in ("socket.connect", "socket.sendto") or args[0].family == socket.AF_UNIX:
        return
    _tries.append(args[1])
    if not args[1][0].startswith(("127.", "::1")):
        raise ConnectionRefusedError("not from a test")


sys.addaudithook(_spy)


@contextmanager
def spying() -> Iterator[list[Any]]:
    """Collect the addresses that anything in this process tries to connect to."""
    global _tries  # noqa: PLW0603 - an audit hook cannot be removed, only told to look away
    _tries = []
    try:
        yield _tries
    finally:
        _tries = None


class Names(AbstractResolver):
    """Names that resolve to other addresses each time they are asked for."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_INET,  # noqa: ARG002
    ) -> list[ResolveResult]:
        self.asked += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [
            ResolveResult(
                hostname=host, host=ip, port=port, proto=0, flags=socket.AI_NUMERICHOST,
                family=socket.AF_INET6 if ":" in ip else socket.AF_INET,
            )
            for ip in answer
        ]  # fmt: skip

    async def close(self) -> None:
        """Nothing is open."""


async def attempt(host: str, port: int = 80, resolver: AbstractResolver | None = None) -> DeliveryError:
    config = WebhookConfig(url=Secret(f"http://{host}:{port}/"))
    async with open_webhook({"crm": config}, resolver=resolver) as channel:
        with pytest.raises(DeliveryError) as caught:
            await channel.send("crm", channel.render(Message(title="t"))[0])
    return caught.value


def refused(error: DeliveryError) -> bool:
    return (error.reason, error.permanent, error.pause) == (Reason.refused, True, True)


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_are_known(address: str) -> None:
    assert not public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_known(address: str) -> None:
    assert public(address)


FORMS = [
    "127.0.0.1", "127.1", "127.0.1", "0x7f.1", "0x7f000001", "2130706433", "017700000001", "0177.0.0.1", "0",
    "localhost", "LOCALHOST", "localhost.", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]",
    "[0:0:0:0:0:ffff:7f00:1]", "%31%32%37.0.0.1", "①②⑦.0.0.1", "127。0。0。1", "user:pass@127.0.0.1",
]  # fmt: skip


@pytest.mark.parametrize("host", FORMS)
async def test_loopback_in_no_spelling_is_connected_to(host: str) -> None:
    async with running(WebhookDouble()) as double:
        with spying() as tries:
            error = await attempt(host, int(double.url.rpartition(":")[2]))
    assert tries == []
    assert double.requests == []
    assert error.permanent or error.reason is Reason.unreachable  # Some spellings are no address at all.


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "0x7f.1", "0x7f000001", "localhost", "[::1]", "[::]", "[::ffff:7f00:1]", "u:p@127.0.0.1"]
)
async def test_the_spellings_that_lead_to_loopback_are_refused_as_private(host: str) -> None:
    error = await attempt(host)
    assert refused(error)
    assert "allow_private" in str(error)


def spellings(ip: IPv4Address) -> list[str]:
    a, b, c, d = ip.packed
    number = int(ip)
    return [
        str(ip), str(number), hex(number), f"0{number:o}", f"{a}.{number & 0xFFFFFF}", f"0x{a:x}.0x{b:x}.{c << 8 | d}",
        f"0{a:o}.0{b:o}.0{c:o}.0{d:o}", f"[::ffff:{ip}]", f"[::ffff:{a << 8 | b:x}:{c << 8 | d:x}]",
        f"[64:ff9b::{ip}]", f"[2002:{a << 8 | b:x}:{c << 8 | d:x}::1]",
        f"[{IPv6Address(0xFFFF << 32 | number).exploded}]",
    ]  # fmt: skip


private_v4 = st.one_of(
    *(
        st.integers(int(IPv4Address(low)), int(IPv4Address(high))).map(IPv4Address)
        for low, high in [
            ("0.0.0.1", "0.255.255.255"), ("10.0.0.0", "10.255.255.255"), ("100.64.0.0", "100.127.255.255"),
            ("127.0.0.0", "127.255.255.255"), ("169.254.0.0", "169.254.255.255"), ("172.16.0.0", "172.31.255.255"),
            ("192.168.0.0", "192.168.255.255"), ("224.0.0.0", "255.255.255.255"),
        ]
    )
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(ip=private_v4, form=st.integers(0, 11))
def test_no_private_address_in_any_form_is_connected_to(ip: IPv4Address, form: int) -> None:
    with spying() as tries:
        error = anyio.run(attempt, spellings(ip)[form])
    assert tries == []
    assert refused(error)


private_v6 = st.tuples(
    st.sampled_from(
        ["fe80::", "fc00::", "fd12:3456::", "ff02::", "2001:db8::", "2002:a00::", "2001::", "fec0::", "64:ff9b:1::"]
    ),
    st.integers(0, 2**64),
).map(lambda pair: IPv6Address(int(IPv6Address(pair[0])) + pair[1]))


@settings(max_examples=40, deadline=None)
@given(ip=private_v6)
def test_no_private_ipv6_address_is_connected_to(ip: IPv6Address) -> None:
    with spying() as tries:
        error = anyio.run(attempt, f"[{ip}]")
    assert tries == []
    assert refused(error)


@pytest.mark.parametrize("host", ["innocent.example", "localhost.", "①②⑦.example", "metadata"])
@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["::1", "127.0.0.1"], ["169.254.169.254", "8.8.8.8"]])
async def test_a_name_that_resolves_to_a_private_address_is_refused(host: str, addresses: list[str]) -> None:
    with spying() as tries:
        error = await attempt(host, resolver=Names(addresses))
    assert tries == []
    assert refused(error)


async def test_a_name_that_turns_private_between_two_calls_is_refused() -> None:
    """What is connected to is what was checked: there is no second look-up between the two."""
    names = Names(["8.8.8.8"], ["127.0.0.1"])
    with spying() as tries:
        first = await attempt("rebinding.example", resolver=names)
        asked = names.asked
        second = await attempt("rebinding.example", resolver=names)
    assert [address[0] for address in tries] == ["8.8.8.8"]
    assert (first.reason, asked) == (Reason.unreachable, 1)
    assert refused(second)


async def test_a_public_address_that_fails_does_not_lead_to_a_private_one() -> None:
    with spying() as tries:
        error = await attempt("mixed.example", resolver=Names(["8.8.8.8", "127.0.0.1"]))
    assert [address[0] for address in tries] == ["8.8.8.8"]
    assert refused(error)


async def test_the_owner_may_allow_private_addresses() -> None:
    async with running(WebhookDouble()) as double:
        config = WebhookConfig(url=Secret(double.url), allow_private=True)
        async with open_webhook({"crm": config}) as channel:
            with spying() as tries:
                await channel.send("crm", channel.render(Message(title="t"))[0])
    assert len(tries) == len(double.requests) == 1
