"""Addresses of heads."""

from __future__ import annotations

import pytest

from hpcsched.rpc.addresses import Address, AddressError, parse_address


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("head01", "head01", 7470),
        ("head01:99", "head01", 99),
        (" head01:0 ", "head01", 0),
        ("10.0.0.7:65535", "10.0.0.7", 65535),
        ("::1", "::1", 7470),
        ("[::1]", "::1", 7470),
        ("[fe80::7]:99", "fe80::7", 99),
    ],
)
def test_an_address_is_a_host_and_perhaps_a_port(
    text: str, host: str, port: int
) -> None:
    address = parse_address(text, 7470)

    assert address == Address(host, port)
    assert parse_address(str(address), 1) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":7470",
        "head:",
        "head:http",
        "head:-1",
        "head:65536",
        "head:²",
        "head:" + "9" * 5000,
        "http://head",
        "a b",
        "[::1",
        "[::1]99",
        "[head]x:1",
        "a:b:c",
    ],
)
def test_any_other_text_is_refused_and_quoted(text: str) -> None:
    with pytest.raises(AddressError) as caught:
        parse_address(text, 7470)

    assert repr(text) in str(caught.value)


@pytest.mark.parametrize(
    ("host", "is_loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),  # noqa: S104
        ("::", False),
        ("10.0.0.1", False),
        ("localhost.example.org", False),
        ("head", False),
    ],
)
def test_only_addresses_of_this_machine_are_loopback(
    host: str, *, is_loopback: bool
) -> None:
    assert Address(host, 7470).is_loopback is is_loopback


@pytest.mark.parametrize(
    ("listening", "seen"),
    [
        ("0.0.0.0:7470", "head01:7470"),
        ("[::]:7470", "head01:7470"),
        ("192.0.2.7:99", "192.0.2.7:99"),
        ("head.example.org:7470", "head.example.org:7470"),
    ],
)
def test_what_listens_everywhere_is_found_by_its_machines_name(
    listening: str, seen: str
) -> None:
    assert str(parse_address(listening, 1).as_seen("head01")) == seen
