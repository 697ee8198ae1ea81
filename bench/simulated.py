"""Simulated nodes: the real protocol over real gRPC, and no processes.

``python -m bench.simulated --address A --token-file F --nodes 1000 --cores 1``

Each node is a connection of its own. What it is ordered to start has ended at once, and
is reported as the agent reports it: a start and an end for each attempt, in columns,
whatever has gathered in one frame.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

import grpc
import uvloop

from hpcsched.agent.v1 import (
    agent_service_pb2,
    agent_service_pb2_grpc,
    order_pb2,
    report_pb2,
)
from hpcsched.rpc.addresses import parse_address
from hpcsched.rpc.channel import agent_channel
from hpcsched.rpc.metadata import call_metadata

Request = agent_service_pb2.ConnectRequest


class Fleet:
    """All nodes of this process.

    Attributes:
        frames: From the head, with orders.
        tasks: That were ordered to start.
        held: Starts are not ended before somebody says ``end``.
        door: So many connect at a time.
    """

    def __init__(self, *, held: bool) -> None:
        self.there = 0
        self.frames = 0
        self.tasks = 0
        self.held = held
        self.nodes: list[Node] = []
        self.began: list[float] = []
        self.door = asyncio.Semaphore(32)


class Node:
    """One simulated node."""

    def __init__(self, fleet: Fleet, name: str, cores: int) -> None:
        self._fleet = fleet
        self._name = name
        self._cores = cores
        self._seq = 0
        self._reports: list[report_pb2.Report] = []
        self._ends: list[report_pb2.Report] = []
        self._ack = 0
        self._beat = False
        self._wake = asyncio.Event()

    async def run(self, address: str, token: str) -> None:
        """Serve one stream to its end."""
        async with agent_channel(parse_address(address, 0), None) as channel:
            stub = agent_service_pb2_grpc.AgentServiceStub(channel)
            metadata = call_metadata(token=token)
            async with self._fleet.door:
                call = stub.Connect(metadata=metadata, wait_for_ready=True)
                await call.write(Request(hello=self._hello()))
                welcome: Any = await call.read()
            self._beat = True
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._read(call))
                tasks.create_task(self._write(call))
                tasks.create_task(self._tick(welcome.welcome.heartbeat_ms / 1e3))

    def _hello(self) -> report_pb2.Hello:
        return report_pb2.Hello(
            node=self._name,
            boot_id=f"boot-{self._name}",
            instance=f"{self._name}-{time.time_ns()}",
            protocol_min=1,
            protocol_max=1,
            agent_version="simulated",
            machine_id=f"machine-{self._name}",
            resources=report_pb2.Resources(
                cores=self._cores, sockets=1, memory_bytes=1 << 34
            ),
        )

    async def _tick(self, interval_s: float) -> None:
        number = int(self._name[-4:]) % 100
        await asyncio.sleep(interval_s * number / 100)  # not all at the same moment
        while True:
            await asyncio.sleep(interval_s)
            self._beat = True
            self._wake.set()

    async def _read(self, call: Any) -> None:
        first = True
        while True:
            frame = await call.read()
            if frame is grpc.aio.EOF:
                return
            if first and frame.heartbeat:
                first = False
                self._fleet.there += 1
            if frame.seq:
                self._ack = frame.seq
                self._fleet.frames += 1
            for order in frame.orders:
                if order.HasField("start"):
                    self._start(order.start)
                elif order.HasField("stop"):
                    self._stop(order.stop)
            self._wake.set()

    async def _write(self, call: Any) -> None:
        while True:
            reports, self._reports = self._reports, []
            if reports or self._beat:
                request = Request(ack=self._ack, reports=reports)
                if reports:
                    self._seq += 1
                    request.seq = self._seq
                if self._beat:
                    self._beat = False
                    request.heartbeat.running = 0
                    request.heartbeat.SetInParent()
                await call.write(request)
            elif not self._wake.is_set():
                await self._wake.wait()
            self._wake.clear()

    def end_all(self) -> None:
        """Let end what was held."""
        self._reports += self._ends
        self._ends = []
        self._wake.set()

    def _start(self, start: order_pb2.StartTasks) -> None:
        instances = start.instances or range(
            start.first_instance, start.first_instance + start.count
        )
        count = len(instances)
        attempts = list(start.attempts)
        if len(attempts) != count:
            attempts *= count
        now = time.time()
        self._fleet.tasks += count
        self._fleet.began.append(time.perf_counter())
        started = report_pb2.TasksStarted(
            job_id=start.job_id,
            task_id=start.task_id,
            instances=instances,
            attempts=attempts,
            start_times=[now] * count,
            cores=[0] * count,
            pids=[4711] * count,
        )
        ended = report_pb2.TasksEnded(
            job_id=start.job_id,
            task_id=start.task_id,
            instances=instances,
            attempts=attempts,
            reasons=[1] * count,
            exit_codes=[0] * count,
            start_times=[now] * count,
            end_times=[now] * count,
            user_ms=[0] * count,
            kernel_ms=[1] * count,
            max_rss_kib=[1000] * count,
            cores=[0] * count,
        )
        self._reports.append(report_pb2.Report(started=started))
        place = self._ends if self._fleet.held else self._reports
        place.append(report_pb2.Report(ended=ended))

    def _stop(self, stop: order_pb2.StopTasks) -> None:
        wanted = (stop.job_id, stop.task_id)
        for report in list(self._ends):
            if (report.ended.job_id, report.ended.task_id) == wanted:
                self._ends.remove(report)
                count = len(report.ended.instances)
                report.ended.reasons[:] = [3] * count
                report.ended.exit_codes[:] = [143] * count
                self._reports.append(report)


async def commands(fleet: Fleet) -> None:
    """Carry out the words that come in: ``stats``, ``end``, ``hold``."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    await loop.connect_read_pipe(lambda: protocol, sys.stdin)
    while word := (await reader.readline()).decode().strip():
        if word == "end":
            fleet.held = False
            for node in fleet.nodes:
                node.end_all()
        elif word == "hold":
            fleet.held = True
        began, fleet.began = fleet.began, []
        say(frames=fleet.frames, tasks=fleet.tasks, began=[*began[:1], *began[-1:]])
    raise SystemExit


def say(**what: object) -> None:
    """Tell whoever started this."""
    print(json.dumps(what), flush=True)


async def main(args: argparse.Namespace) -> None:
    """Connect all nodes, say so, serve."""
    fleet = Fleet(held=args.held)
    token = Path(args.token_file).read_text().strip()
    async with asyncio.TaskGroup() as tasks:
        for number in range(args.first, args.first + args.nodes):
            node = Node(fleet, f"sim{number:04d}", args.cores)
            fleet.nodes.append(node)
            tasks.create_task(node.run(args.address, token))
        while fleet.there < args.nodes:
            await asyncio.sleep(0.02)
        say(nodes=[f"sim{n:04d}" for n in range(args.first, args.first + args.nodes)])
        tasks.create_task(commands(fleet))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--address", required=True)
    parser.add_argument("--token-file", required=True)
    parser.add_argument("--nodes", type=int, default=1)
    parser.add_argument("--cores", type=int, default=1)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--held", action="store_true")
    uvloop.run(main(parser.parse_args()))
