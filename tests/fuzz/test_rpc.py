"""F59: whatever comes over the wire, the head answers with a reason and goes on."""

from __future__ import annotations

import asyncio
import gc
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pytest
from google.protobuf import message_factory, text_format
from google.protobuf.message import DecodeError
from hypothesis import strategies as st

from hpcsched.api.v1 import (
    accounting_service_pb2,
    cluster_service_pb2,
    job_service_pb2,
    node_service_pb2,
    pool_service_pb2,
    template_service_pb2,
    watch_service_pb2,
)
from hpcsched.services.cursors import Pages, encode_cursor
from tests.support.campaign import campaign, time_limit
from tests.support.measuring import memory_kib
from tests.support.site import PEOPLE, Site, is_fault
from tests.support.wild import TEXTS, mutated, spoiled, wild

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from google.protobuf.descriptor import MethodDescriptor
    from google.protobuf.message import Message

    Draw = Callable[[st.SearchStrategy[Any]], Any]

pytestmark = pytest.mark.timeout(time_limit())

MODULES: Final = (
    job_service_pb2,
    watch_service_pb2,
    node_service_pb2,
    pool_service_pb2,
    template_service_pb2,
    cluster_service_pb2,
    accounting_service_pb2,
)
METHODS: Final[dict[str, MethodDescriptor]] = {
    f"{service.name}.{method.name}": method
    for module in MODULES
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}
#: Requests that work, where an empty one with numbers in it says too little.
VALID: Final = {
    "JobService.SubmitJobs": (
        """specs { name: "a" tasks { command_line: "true" } }
           specs { name: "b" min_cores: 1 max_cores: 3 priority: 100
             runtime { seconds: 60 }
             environment { key: "A" value: "1" }
             custom_properties { key: "k" value: "v" }
             tasks { name: "one" arguments: "x" }
             tasks { name: "two" depends_on: "one" command_line: "y" min_cores: 2 } }
           request_id: "r1" """,
        """specs { tasks { type: TASK_TYPE_PARAMETRIC_SWEEP start_value: 1 end_value: 9
             increment_value: 2 command_line: "echo *" valid_exit_codes: "0..3" } }""",
        """specs { unit_type: UNIT_TYPE_NODE min_nodes: 1 max_nodes: 2
             node_groups: "ComputeNodes" requested_nodes: "n1" parent_job_ids: 1
             hold_until { seconds: 4000000000 } job_template: "Default"
             tasks { type: TASK_TYPE_NODE_PREP command_line: "p" }
             tasks { type: TASK_TYPE_NODE_RELEASE command_line: "q" }
             tasks { command_line: "r" required_nodes: "n1" } }""",
        """specs { order_by: "-memory,cores" is_exclusive: true
             tasks { type: TASK_TYPE_SERVICE command_line: "s" max_cores: 2 } }""",
    ),
    "JobService.CreateJob": (
        'spec { name: "c" tasks { command_line: "true" } }',
        'spec { user_name: "bob" explicit: "priority" progress: 5 }',
    ),
    "JobService.AddTasks": (
        'job_id: 1 tasks { command_line: "true" } submit: true',
        'job_id: 2 tasks { lines: "a" lines: "b" type: TASK_TYPE_PARAMETRIC_SWEEP }',
    ),
    "JobService.CreateCommand": ('nodes: "n1" nodes: "n2" command_line: "uname"',),
    "NodeService.CreateNodeGroup": ('name: "fast" nodes: "n1"',),
    "PoolService.CreatePool": ('name: "alpha" weight: 2',),
    "ClusterService.SetParameters": (
        'values { key: "HeartbeatInterval" value: "30" }',
    ),
    "WatchService.Watch": ('snapshot: true filter { owner: "ann" }', 'after: "0"'),
}
#: What must work afterwards, whatever was said before.
AFTER: Final = (
    "JobService.CreateJob",
    "JobService.ListJobs",
    "ClusterService.GetClusterInfo",
    "NodeService.ListNodes",
    "WatchService.Watch",
)


#: Requests above are rare: they take time that others find more with, bytes.
LARGEST: Final = 2 * 1024 * 1024


@dataclass(frozen=True)
class Call:
    """One call as bytes."""

    name: str
    secret: str
    data: bytes

    def __repr__(self) -> str:
        kind = message_factory.GetMessageClass(METHODS[self.name].input_type)
        try:
            shown = text_format.MessageToString(
                kind.FromString(self.data), as_one_line=True
            )
        except DecodeError:
            shown = "no message"
        return f"{self.name} by {self.secret}: {self.data[:200]!r} ({shown[:2000]})"


def valid(name: str) -> list[Message]:
    """Return requests of a method that work, or nearly so."""
    kind = message_factory.GetMessageClass(METHODS[name].input_type)
    texts = VALID.get(name, ())
    return [text_format.Parse(one, kind()) for one in texts] or [_plain(kind())]


def _plain(message: Message) -> Message:
    """Fill in what most requests need."""
    kind = message.DESCRIPTOR
    for name, value in (("job_id", 1), ("task_id", 1), ("name", "n1")):
        if name in kind.fields_by_name and not kind.fields_by_name[name].is_repeated:
            setattr(message, name, value)
    for name, value in (("job_ids", 1), ("task_ids", 1), ("names", "n1")):
        if name in kind.fields_by_name:
            getattr(message, name).append(value)
    return message


@st.composite
def requests(draw: Draw, name: str) -> Any:
    """Return the bytes of one request of a method."""
    how = draw(st.integers(0, 9))
    kind = METHODS[name].input_type
    if how < 3:
        message = draw(wild(kind))
    else:
        message = draw(st.sampled_from(valid(name)))
        if how > 3:
            message = draw(mutated(message))
    _forge(draw, message)
    if message.ByteSize() > LARGEST and draw(st.integers(0, 20)):
        return draw(st.binary(max_size=100))
    data = message.SerializeToString()
    return draw(spoiled(data)) if how > 7 else data


def _forge(draw: Draw, message: Any) -> None:
    """Give positions that look as if the head had given them out."""
    fields = message.DESCRIPTOR.fields_by_name
    if "after" in fields and draw(st.booleans()):
        message.after = encode_cursor(draw(st.sampled_from([1, 5, 40, 1 << 62])))
    if "page_token" in fields and draw(st.booleans()):
        position = draw(st.sampled_from([*TEXTS, "1,2", '["a"]', "[1, null]", "[]"]))
        message.page_token = Pages(message).encode(position)


@st.composite
def calls(draw: Draw) -> list[Call]:
    """Return calls that are made at the same time."""
    names = draw(st.lists(st.sampled_from(sorted(METHODS)), min_size=1, max_size=8))
    return [
        Call(name, draw(st.sampled_from(PEOPLE)), draw(requests(name)))
        for name in names
    ]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Site(tmp_path_factory.mktemp("site")) as made:
        yield made


async def answers(site: Site, made: list[Call]) -> list[str]:
    """Return what each call is answered."""

    async def one(call: Call) -> str:
        method = METHODS[call.name]
        path = f"/{method.containing_service.full_name}/{method.name}"
        return await site.call(
            path, call.data, call.secret, streams=method.server_streaming
        )

    return list(await asyncio.gather(*(one(call) for call in made)))


def check(site: Site, made: list[Call]) -> None:
    """Make the calls: every answer has a reason, and no fault was logged."""
    told = site.run(answers(site, made))

    faulty = [
        (call, said) for call, said in zip(made, told, strict=True) if is_fault(said)
    ]
    faults, site.faults[:] = list(site.faults), []
    assert not faulty, faults
    assert not faults, made


def test_f59_any_bytes_in_any_call_are_answered_with_a_reason(site: Site) -> None:
    some = [
        Call(name, PEOPLE[0], valid(name)[0].SerializeToString()) for name in METHODS
    ]
    check(site, some)
    gc.collect()
    before = memory_kib()

    campaign(lambda made: check(site, made), calls(), examples=150)

    gc.collect()
    assert memory_kib() - before < 200_000
    last = [Call(name, PEOPLE[0], valid(name)[0].SerializeToString()) for name in AFTER]
    assert site.run(answers(site, last)) == ["OK"] * len(last)
