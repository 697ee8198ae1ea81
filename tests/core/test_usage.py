"""What attempts used, summed up in their job."""

from __future__ import annotations

from dataclasses import replace

from hpcsched.core.task.states import EndReason, TaskState
from tests.support.job_bench import Bench, plain


def test_a_job_sums_up_what_its_attempts_used_reruns_included() -> None:
    bench = Bench(plain(), plain()).start({1: 2})
    lost = bench.ended(1, reason=EndReason.STATUS_LOST, code=-1)
    bench.report(1, replace(lost, user_ms=[30], kernel_ms=[4], max_rss_kib=[100]))
    bench.run_all()
    assert bench.state(1) is TaskState.RUNNING

    for task in (1, 2):
        end = bench.ended(task)
        used = replace(end, user_ms=[100], kernel_ms=[20], max_rss_kib=[1000])
        bench.report(1, used)
        bench.report(1, used)  # a doubled report counts once

    assert (bench.job.user_ms, bench.job.kernel_ms) == (230, 44)
    assert bench.job.memory_kib == 2100


def test_a_node_that_says_a_task_used_a_negative_time_is_not_believed() -> None:
    bench = Bench(plain()).start()

    bench.report(1, replace(bench.ended(1), user_ms=[-5], kernel_ms=[1 << 40]))

    assert (bench.job.user_ms, bench.job.kernel_ms) == (0, (1 << 32) - 1)
