"""What is told of several jobs together is what would be told of each."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hpcsched.core.reports import Ended
from hpcsched.services.convert_report import agent_value
from node_agent.core.frames import AgentFrame
from node_agent.core.reports import End, LivedColumns, Report, in_columns
from node_agent.link.convert import request_of

count = st.integers(0, 2**31 - 1)
ends = st.builds(
    End,
    key=st.tuples(count, st.integers(1, 2), st.integers(0, 1), count),
    reason=st.sampled_from([1, 1, 1, 2]),
    exit_code=st.sampled_from([0, 0, 0, 7]),
    start=st.sampled_from([0.0, 5.25, 1_795_000_000.125]),
    end=st.floats(1, 2e9),
    core=st.integers(-1, 3),
    user_ms=count,
    kernel_ms=count,
    max_rss_kib=count,
    output=st.sampled_from([b"", b"", b"x"]),
)


def told(reports: list[Report], *, lived: bool) -> list[Ended]:
    """Return what the head hears, by job and task."""
    frame = AgentFrame(seq=1, reports=in_columns(reports, lived=lived))
    heard = agent_value(request_of(frame)).reports
    found = [one for one in heard if isinstance(one, Ended)]
    return sorted(found, key=lambda one: (one.job_id, one.task_id))


def plain(report: Ended) -> dict[str, object]:
    columns = {name: getattr(report, name) for name in report.__slots__}
    return {
        name: list(value) if isinstance(value, list | tuple) else value
        for name, value in columns.items()
    }


@given(st.lists(ends, max_size=12))
def test_the_head_hears_the_same_of_each(some: list[End]) -> None:
    together, apart = told([*some], lived=True), told([*some], lived=False)
    assert list(map(plain, together)) == list(map(plain, apart))


def test_columns_of_uneven_length_are_cut_to_the_shortest() -> None:
    columns = LivedColumns(
        task_id=1,
        jobs=(1, 2, 3),
        attempts=(1, 1),
        starts=(5.0, 5.0, 5.0),
        ends=(6.0, 6.0, 6.0),
        cores=(0, 1, 0),
        user_ms=(1, 2, 3),
        kernel_ms=(1, 2, 3),
        max_rss_kib=(1, 2, 3),
    )
    frame = AgentFrame(seq=1, reports=[columns])
    heard = agent_value(request_of(frame)).reports
    assert [one.job_id for one in heard] == [1, 2]
