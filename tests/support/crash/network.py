"""A network of its own for each node, which can be cut in one direction or both."""

from __future__ import annotations

import asyncio
import os
import subprocess
from itertools import count
from typing import TYPE_CHECKING

import trustme

from hpcsched.rpc.credentials import TlsFiles
from tests.support.crash import nemesis
from tests.support.crash.machine import _Machine, _run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.support.crash.crew import Crew
    from tests.support.crash.nemesis import Blow

#: Networks of this process so far: each has addresses and names of its own.
NUMBERS = count(os.getpid() % 200)


class Network(_Machine):
    """Head on one side of a bridge, each agent alone in a namespace behind it.

    ``cut`` takes the link away, ``deaf`` drops what goes to the node, ``mute`` drops
    what comes from it. Heartbeats are so short that a node is unreachable after 3 s.
    """

    name = "network"
    tools = ("ip",)
    own = (("cut", ("n.net",)), ("deaf", ("n.net",)), ("mute", ("n.net",)))
    longest = 6.0
    node_loss = "NODE_LOSS_HOLD"
    parameters = {"HeartbeatInterval": "1", "InactivityCount": "3"}  # noqa: RUF012 - fixed

    def __init__(self) -> None:
        self._number = next(NUMBERS) % 250

    def prepare(self, crew: Crew) -> None:
        bridge = f"hcb{self._number}"
        crew.host = self._address(1)
        _run("ip", "link", "add", bridge, "type", "bridge")
        _run("ip", "address", "add", f"{crew.host}/24", "dev", bridge)
        _run("ip", "link", "set", bridge, "up")
        for position, node in enumerate(crew.nodes):
            space, here, there = self._names(node)
            _run("ip", "netns", "add", space)
            pair = ("type", "veth", "peer", "name", there, "netns", space)
            _run("ip", "link", "add", here, *pair)
            _run("ip", "link", "set", here, "master", bridge, "up")
            inside = ("ip", "netns", "exec", space)
            own = f"{self._address(position + 2)}/24"
            _run(*inside, "ip", "address", "add", own, "dev", there)
            _run(*inside, "ip", "link", "set", there, "up")
            _run(*inside, "ip", "link", "set", "lo", "up")
            crew.wraps[f"{node}.agent"] = inside
        crew.use_tls(*certificate(crew, trustme.CA()))

    def losses(self, plan: Sequence[Blow]) -> set[str]:
        # A task that is being stopped ends when its node is lost. No attempt begins
        # beside another, though: the jobs hold theirs.
        return super().losses(plan) | {"unreachable"}

    async def strike(self, crew: Crew, blow: Blow) -> None:
        if blow.kind not in ("cut", "deaf", "mute"):
            await nemesis.strike(crew, blow)
            return
        node = blow.targets[0].partition(".")[0]
        space, here, _ = self._names(node)
        theirs = self._address(crew.nodes.index(node) + 2)
        do, undo = {
            "cut": (
                ("ip", "link", "set", here, "down"),
                ("ip", "link", "set", here, "up"),
            ),
            "deaf": _blackhole((), theirs),
            "mute": _blackhole(("ip", "netns", "exec", space), crew.host),
        }[blow.kind]
        _run(*do)
        try:
            await asyncio.sleep(blow.pause)
        finally:
            _run(*undo)

    def clean(self, crew: Crew) -> None:
        for node in crew.nodes:
            space, here, _ = self._names(node)
            subprocess.run(["ip", "link", "del", here], check=False)
            subprocess.run(["ip", "netns", "del", space], check=False)
        subprocess.run(["ip", "link", "del", f"hcb{self._number}"], check=False)

    def _address(self, position: int) -> str:
        return f"10.83.{self._number}.{position}"

    def _names(self, node: str) -> tuple[str, str, str]:
        mark = f"{self._number}{node}"
        return f"hc{mark}", f"hcv{mark}", f"hcw{mark}"


def _blackhole(
    inside: tuple[str, ...], address: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    route = ("blackhole", f"{address}/32")
    return (
        (*inside, "ip", "route", "add", *route),
        (*inside, "ip", "route", "del", *route),
    )


def certificate(crew: Crew, authority: trustme.CA) -> tuple[TlsFiles, TlsFiles]:
    """Issue one; return the files of the head and of those who call it."""
    issued = authority.issue_cert(crew.host)
    ca, key, cert = (crew.base / f"{name}.pem" for name in ("ca", "key", "cert"))
    authority.cert_pem.write_to_path(str(ca))
    issued.private_key_pem.write_to_path(str(key))
    issued.cert_chain_pems[0].write_to_path(str(cert))
    key.chmod(0o600)
    return TlsFiles(cert=str(cert), key=str(key)), TlsFiles(ca=str(ca))
