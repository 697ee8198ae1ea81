"""Frames, and a peer that sends nonsense."""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node_agent.supervisor import protocol
from tests.support.task_supervisor import (
    JOB,
    TaskSupervisor,
    task_supervisor,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = st.sampled_from(["hello", "started", "x"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda children: st.lists(children, max_size=4),
    max_leaves=8,
)
MESSAGES = st.lists(
    st.tuples(NAMES, st.lists(JSON, max_size=4)).map(lambda pair: [pair[0], *pair[1]]),
    max_size=5,
)


@pytest.fixture(scope="module")
def supervisor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TaskSupervisor]:
    place = tmp_path_factory.mktemp("protocol") / "node"
    with task_supervisor(place, "--cgroup", "off") as running:
        yield running.start()


@given(frames=st.lists(MESSAGES, max_size=4), size=st.integers(1, 50))
def test_frames_survive_being_cut_anywhere(frames: list[Any], size: int) -> None:
    stream = b"".join(protocol.encode(messages) for messages in frames)
    reader = protocol.FrameReader()
    found: list[Any] = []
    for start in range(0, len(stream), size):
        found += reader.feed(stream[start : start + size])

    assert found == [message for messages in frames for message in messages]


def test_strings_that_are_no_text_survive() -> None:
    raw = b"\xff\x80".decode("utf-8", "surrogateescape")

    assert protocol.decode(protocol.encode([["x", raw]])[4:]) == [["x", raw]]


@pytest.mark.parametrize(
    "body", [b"{}", b"[1]", b"[[]]", b"[[1]]", b"[", b"\xff", b'[["x",NaN]]', b""]
)
def test_what_is_no_frame_is_told(body: bytes) -> None:
    with pytest.raises(protocol.ProtocolError):
        protocol.decode(body)


def test_a_frame_that_is_too_long_is_refused_before_it_is_read() -> None:
    with pytest.raises(protocol.ProtocolError, match="limit is 16777216"):
        protocol.FrameReader().feed(struct.pack(">I", protocol.MAX_FRAME_BYTES + 1))
    with pytest.raises(protocol.ProtocolError, match="limit"):
        protocol.frame_of([b"x" * protocol.MAX_FRAME_BYTES])


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xff\xff\xff",
        b"\0\0\0\2{}",
        b"\0\0\0\5[[1]]",
        b"\0\0\0\3\xff\xff\xff",
        b"\0\0\x40\0" + b"[" * 0x4000,
    ],
)
def test_a_malformed_frame_is_answered_and_only_that_connection_closed(
    supervisor: TaskSupervisor, data: bytes
) -> None:
    spawner = supervisor.pid_of("spawner")
    agent = supervisor.agent()
    agent.socket.sendall(data)
    agent.expect("error")

    assert not agent.receive()
    assert supervisor.agent().hello["version"] == 1
    assert supervisor.pid_of("spawner") == spawner


def test_a_frame_with_one_malformed_message_does_nothing(
    supervisor: TaskSupervisor,
) -> None:
    agent = supervisor.agent()
    body = b'[["ping",1],[]]'
    agent.socket.sendall(struct.pack(">I", len(body)) + body)
    agent.expect("error")

    assert not [m for m in agent.messages if m[0] == "pong"]


def test_the_first_message_must_be_a_hello_of_this_version(
    supervisor: TaskSupervisor,
) -> None:
    for first in (["ping", 1], ["hello", {"version": 99}], ["hello"]):
        agent = supervisor.agent(greet=False)
        agent.send(first)

        assert "hello" in agent.expect("error")[1]
        assert not agent.receive()


def test_a_newer_connection_replaces_the_older(supervisor: TaskSupervisor) -> None:
    older, newer = supervisor.agent(), supervisor.agent()

    assert not older.receive()
    newer.sync()


START = ["start", JOB, 1, 1]


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (["fly"], "fly"),
        (["ping"], "ping: takes 1"),
        (["grant", "x", []], "grant: job"),
        (["grant", 1, [-1]], "grant: cores"),
        (["grant", 1, [10**9]], "65535"),
        (["grant", 1, 3], "grant: cores"),
        (["start", 1, 1], "start: takes 4"),
        ([*START, [[1, 1]]], "an attempt is"),
        ([*START, [["1", 1, 1, 0, None]]], "start: instance"),
        ([*START, [[True, 1, 1, 0, None]]], "start: instance"),
        ([*START, [[1, -1, 1, 0, None]]], "start: attempt"),
        ([*START, [[1, 1, {}, 0, None]]], "start: value"),
        ([*START, [[1, 1, 1, -1, None]]], "start: ncores"),
        ([*START, [[1, 1, 1, 0, {"A=": "1"}]]], "start: env"),
        ([*START, [[1, 1, 1, 0, None], [1, 1, 1, 0, None]]], "twice"),
        (["stop", 1, 1, [[1]], 0], "stop: attempts"),
        (["stop", 1, 1, [[1, 1]], -1], "stop: grace_s"),
        (["stop", 1, 1, [[1, 1]], 0, "x" * 99], "stop: reason"),
        (["stop_all", "now"], "stop_all: grace_s"),
        (["end_job", None], "end_job: job"),
        (["purge", 1.5], "purge: job"),
        (["ack", 10**9], "never given out"),
        (["settings", {"output_quota": -1}], "output_quota"),
        (["settings", 3], "settings"),
        (["define", []], "define"),
        (["define", {"job": 1}], "define: task"),
    ],
)
def test_a_wrong_message_is_answered_with_field_and_limit_and_changes_nothing(
    supervisor: TaskSupervisor, message: list[Any], text: str
) -> None:
    agent = supervisor.agent()
    agent.send(message)

    assert text in agent.expect("error")[1]
    agent.sync()


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        ("argv", None, "exactly one"),
        ("shell", ["x"], "exactly one"),
        ("argv", [], "argv: must be segments"),
        ("argv", ["ls"], "argv: must be segments"),
        ("argv", [[-1]], "widths 0-64"),
        ("env", {"A": 1}, "env"),
        ("env", {"": "x"}, "env"),
        ("env", {"A": "a\0"}, "NUL"),
        ("cwd", 3, "cwd"),
        ("stdout", [], "stdout"),
        ("limit_s", -1, "limit_s"),
        ("grace_s", "x", "grace_s"),
        ("signal", 65, "signal"),
        ("output_limit", 1 << 30, "output_limit"),
    ],
)
def test_a_wrong_definition_names_the_field(
    supervisor: TaskSupervisor, field: str, value: Any, text: str
) -> None:
    agent = supervisor.agent()
    definition = {"job": 1, "task": 1, "def": 1, "argv": [["true"]], field: value}
    agent.send(["define", definition])

    assert text in agent.expect("error")[1]


@given(messages=MESSAGES)
def test_no_message_of_any_shape_ends_the_supervisor(
    supervisor: TaskSupervisor, messages: list[Any]
) -> None:
    kinds = ["define", "grant", "start", "stop", "ack", "settings", "purge", "end_job"]
    agent = supervisor.agent()
    spawner = supervisor.pid_of("spawner")
    agent.send(*[[kind, *message[1:]] for kind in kinds for message in messages])
    agent.sync()
    agent.close()

    assert supervisor.pid_of("spawner") == spawner


def test_a_slow_agent_gets_everything_in_the_end(supervisor: TaskSupervisor) -> None:
    agent = supervisor.agent()
    agent.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    payload = "x" * 1000
    for number in range(300):
        agent.send(["ping", [number, payload]])
    pongs = [agent.expect("pong", [number, payload]) for number in range(300)]

    assert len(pongs) == 300
