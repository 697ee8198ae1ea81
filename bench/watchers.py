"""Many subscribers in a process of their own.

``python -m bench.watchers --address A --token-file F --count 1000 [--stuck 1]``

Each is a stream of its own on a connection that a hundred share. A stuck one reads its
first message and then nothing, with room for little on its way: gRPC would take 4 MB
for it first, and up to there it is a watcher like any other. ``stats`` tells how many
events each has seen.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
from pathlib import Path
from typing import Any

import uvloop
from grpc import aio

from bench.simulated import say
from hpcsched.api.v1 import watch_service_pb2 as pb
from hpcsched.api.v1 import watch_service_pb2_grpc
from hpcsched.rpc.addresses import parse_address
from hpcsched.rpc.metadata import call_metadata
from hpcsched.rpc.options import client_options

OPTIONS = [*client_options(), ("grpc.use_local_subchannel_pool", 1)]
"""Channels to one address share a connection otherwise, and its limit of streams."""
PER_CONNECTION = 100
LITTLE = [("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 1024)]


class Watchers:
    """All subscribers of this process."""

    def __init__(self, count: int) -> None:
        self.seen = [0] * count
        self.cursors = [""] * count
        self.there = self.messages = 0

    async def watch(
        self, number: int, stub: Any, metadata: Any, *, stuck: bool
    ) -> None:
        """Count events to the end of the stream."""
        call = stub.Watch(pb.WatchRequest(), metadata=metadata)
        async for message in call:
            if message.caught_up:
                self.there += 1
                if stuck:
                    await asyncio.Event().wait()
            self.seen[number] += len(message.events)
            self.messages += 1
            if message.events:
                self.cursors[number] = message.cursor


async def main(args: argparse.Namespace) -> None:
    """Subscribe, say so, tell what was seen when asked."""
    watchers = Watchers(args.count)
    metadata = call_metadata(token=Path(args.token_file).read_text().strip())
    address = parse_address(args.address, 0)
    async with contextlib.AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
        for first in range(0, args.count, PER_CONNECTION):
            options = [*OPTIONS, *LITTLE] if first < args.stuck else OPTIONS
            opened = aio.insecure_channel(str(address), options=options)
            channel = await stack.enter_async_context(opened)
            stub = watch_service_pb2_grpc.WatchServiceStub(channel)
            for number in range(first, min(first + PER_CONNECTION, args.count)):
                stuck = number < args.stuck
                tasks.create_task(watchers.watch(number, stub, metadata, stuck=stuck))
        while watchers.there < args.count:
            await asyncio.sleep(0.02)
        say(there=watchers.there)
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        await loop.connect_read_pipe(lambda: protocol, sys.stdin)
        while await reader.readline():
            seen = watchers.seen[args.stuck :] or [0]
            ends = len(set(watchers.cursors[args.stuck :]))
            told = watchers.messages
            say(least=min(seen), most=max(seen), cursors=ends, messages=told)
        raise SystemExit


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--address", required=True)
    parser.add_argument("--token-file", required=True)
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--stuck", type=int, default=0)
    uvloop.run(main(parser.parse_args()))
