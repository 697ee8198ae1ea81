"""What an error says, by name: of every reason that the product knows (ErrorParams)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from hpcsched.core.job import codes
from hpcsched.core.job import commands as c
from hpcsched.core.job.show import job_view, master_view, task_view
from hpcsched.core.reports import EndDetail
from hpcsched.core.settings import Settings
from hpcsched.core.task.states import EndReason
from tests.support.job_bench import ANN, ROOT, Bench, plain, prep, service, sweep

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hpcsched.core.views import JobView, TaskView

NO_RERUNS = Settings(task_retries=0, job_retries=0)


def node(number: int) -> str:
    return f"n{number}"


def one(**fields: Any) -> Bench:
    """Return a job of which one task runs, and a second one waits."""
    return Bench(plain("a", **fields), plain("b"), settings=NO_RERUNS).start({1: 1})


def ended(reason: EndReason, exit_code: int = -1, **how: Any) -> Callable[[], Bench]:
    def make() -> Bench:
        detail = EndDetail(**how) if how else None
        fields = {
            "stdin_path": "in",
            "stdout_path": "out",
            "stderr_path": "err",
            "work_directory": "/w",
            "runtime": 60.0,
        }
        return one(**fields).end(1, reason=reason, code=exit_code, detail=detail)

    return make


def not_started(what: str) -> Callable[[], Bench]:
    return ended(EndReason.START_FAILED, code=what, message="no")


def user_task(*, runs: bool) -> Bench:
    bench = one()
    bench.cancel_tasks((1 if runs else 2, 0), message="enough")
    return bench.end_all() if runs else bench


def canceled() -> Bench:
    bench = one()
    bench.cancel("enough", caller=ROOT)
    return bench.end_all()


def waiting() -> Bench:
    bench = Bench(plain("a")).submit()
    bench.cancel("never mind")
    return bench


def finished() -> Bench:
    bench = one()
    bench.finish_job("that will do")
    return bench.end_all()


def timed_out() -> Bench:
    bench = Bench(plain("a"), runtime=90.0).start()
    bench.tick(91)
    return bench.end_all()


def failed_fast() -> Bench:
    bench = Bench(plain("a", critical=True), plain("b")).start({1: 1})
    return bench.fail(1)


def failed() -> Bench:
    return one().fail(1).run_all().end_all()


def lost() -> Bench:
    bench = one()
    bench.lose(1)
    return bench


def evicted() -> Bench:
    bench = one(is_rerunnable=False)
    bench.evict(1)
    return bench.end_all()


def preempted() -> Bench:
    bench = one(is_rerunnable=False)
    bench.preempt({1: 1}, immediate=True, whole=True, text="for job 9")
    return bench.end_all()


def dependant() -> Bench:
    tasks = plain("a"), plain("b"), plain("c", depends_on=("a", "b"))
    return Bench(*tasks, fail_dependent_tasks=True).start({1: 1}).fail(1)


def invalid() -> Bench:
    return Bench(plain("a", min_cores=5), min_cores=2, max_cores=9).submit()


def not_rerunnable() -> Bench:
    bench = Bench(plain("a")).start().fail(1)
    bench.do(c.ConfigureJob(caller=ANN))
    bench.modify_task(1, is_rerunnable=False)
    return bench.submit()


def unsubmitted() -> Bench:
    bench = Bench(plain("a")).start()
    bench.add(plain("late"), submit=False)
    return bench.end_all()


def unprepared() -> Bench:
    bench = Bench(plain("a"), prep()).submit().grant({1: 1})
    return bench.run(2, 1).fail(2, 1)


def no_nodes_left() -> Bench:
    bench = Bench(plain("a"), plain("b"), settings=Settings(job_retries=0), min_cores=2)
    bench.start({1: 1, 2: 1})
    bench.lose(1)
    bench.end_all()
    return bench


def filtered() -> Bench:
    bench = Bench(plain("a")).submit()
    bench.do(c.FailActivation(message="no licence"))
    return bench


def orphaned() -> Bench:
    bench = Bench(plain("a"), parent_job_ids=(3,))
    kin = c.Kin(states={3: bench.job.state.__class__.QUEUED})
    bench.do(c.SubmitJob(caller=ANN, submit_order=1, kin=kin))
    bench.parent(3, None)
    return bench


def served() -> Bench:
    bench = Bench(service("s")).start({1: 1})
    bench.requeue()
    return bench.stop(1, 1)


PROBLEM = "the nodes that are left do not suffice"
MISSING = {"problem": "no", "node": "n1"}
END = EndReason
#: How it comes about; the number; the task (0: the job); what it says.
REASONS: list[tuple[Callable[[], Bench], int, int, Mapping[str, str]]] = [
    (ended(END.EXITED, 3), codes.TASK_FAILURE, 1, {"exit_code": "3"}),
    (
        ended(END.SIGNALED, 139),
        *(codes.TASK_FAILURE, 1),
        {"exit_code": "139", "signal": "SIGSEGV"},
    ),
    (
        ended(END.OUT_OF_MEMORY, 137),
        *(codes.TASK_FAILURE, 1),
        {"problem": "out of memory"},
    ),
    (ended(END.TIME_LIMIT, 143), codes.TASK_RUNTIME_EXPIRED, 1, {"limit": "60 s"}),
    (not_started("stdin"), codes.STDIN_FAILED, 1, {**MISSING, "path": "in"}),
    (not_started("stdout"), codes.STDOUT_FAILED, 1, {**MISSING, "path": "out"}),
    (not_started("stderr"), codes.STDERR_FAILED, 1, {**MISSING, "path": "err"}),
    (not_started("cwd"), codes.WORKING_DIRECTORY, 1, {**MISSING, "path": "/w"}),
    (
        not_started("exec"),
        *(codes.TASK_EXECUTION_FAILURE, 1),
        {**MISSING, "program": "/bin/true"},
    ),
    (
        not_started("user"),
        *(codes.START_JOB_FAILED_ON_NODE, 1),
        {**MISSING, "user": "ann"},
    ),
    (ended(END.NOT_STARTED, message="no"), codes.NODE_ERROR, 1, MISSING),
    (ended(END.STATUS_LOST, message="no"), codes.PROCESS_DEAD, 1, MISSING),
    (
        lost,
        *(codes.NODE_UNREACHABLE, 1),
        {"problem": "the node became unreachable", "node": "n1"},
    ),
    (
        evicted,
        *(codes.NODE_NOT_USABLE, 1),
        {"problem": "node n1 was taken offline", "node": "n1"},
    ),
    (preempted, codes.TASKS_PREEMPTED, 1, {"message": "for job 9"}),
    (preempted, codes.JOB_PREEMPTED, 0, {"problem": "for job 9"}),
    (
        lambda: user_task(runs=True),
        *(codes.CANCELED_DURING_EXECUTION, 1),
        {"message": "enough"},
    ),
    (
        lambda: user_task(runs=False),
        *(codes.CANCELED_BEFORE_ASSIGNMENT, 2),
        {"message": "enough"},
    ),
    (canceled, codes.TASKS_JOB_CANCELED, 1, {"message": "enough"}),
    (canceled, codes.CANCELED_BY_USER, 0, {"message": "enough", "user": "root"}),
    (waiting, codes.CANCELED_BY_USER, 0, {"message": "never mind", "user": "ann"}),
    (finished, codes.FINISHED_DURING_EXECUTION, 1, {"message": "that will do"}),
    (finished, codes.FINISHED_BY_USER, 0, {"message": "that will do", "user": "ann"}),
    (timed_out, codes.JOB_RUNTIME_EXPIRED, 0, {"limit": "90 s"}),
    (failed_fast, codes.TASK_FAILURE, 0, {"task": "7.1"}),
    (failed, codes.TASK_FAILURE, 0, {"failed": "1", "total": "2"}),
    (dependant, codes.DEPENDENCY_FAILED, 3, {"depends_on": "a,b"}),
    (
        invalid,
        *(0, 0),
        {
            "field": "spec.tasks[0].min_cores",
            "value": "5",
            "limit": "at most the job's min_cores, 2",
        },
    ),
    (
        invalid,
        *(codes.TASK_FAILED_ON_JOB_VALIDATION, 1),
        {
            "field": "spec.tasks[0].min_cores",
            "value": "5",
            "limit": "at most the job's min_cores, 2",
        },
    ),
    (not_rerunnable, codes.TASK_NOT_RERUNNABLE, 0, {"task": "7.1"}),
    (
        unsubmitted,
        *(codes.CANCELED_BEFORE_ASSIGNMENT, 2),
        {"message": "the job ended before the task was submitted"},
    ),
    (
        unprepared,
        codes.NODE_PREP_FAILURE,
        0,
        {"problem": "node preparation failed on n1"},
    ),
    (
        no_nodes_left,
        *(codes.RESOURCE_FAILURE, 0),
        {"problem": f"its nodes were lost too often: {PROBLEM}"},
    ),
    (filtered, codes.FAILED_BY_ACTIVATION_FILTER, 0, {"message": "no licence"}),
    (filtered, codes.FAILED_BY_ACTIVATION_FILTER, 1, {"message": "no licence"}),
    (orphaned, codes.PARENT_JOBS_DELETED, 0, {"parent": "3"}),
    (
        served,
        *(codes.SERVICE_CANCELED_ON_REQUEUE, 1),
        {
            "message": "its job was queued again; a new instance takes its place",
        },
    ),
]
#: Numbers that no job or task of ours is given, and why.
UNUSED = {
    "UNKNOWN_ERROR": "a fault of the head is told to its caller, never kept with a job",
}


def view_of(bench: Bench, task: int) -> JobView | TaskView:
    if not task:
        return job_view(bench.job, node)
    record = bench.job.tasks[task - 1]
    if record.has_elements:
        return task_view(bench.job, record, 1, node)
    return task_view(bench.job, record, 0, node)


@pytest.mark.parametrize(("make", "code", "task", "params"), REASONS)
def test_every_reason_says_what_it_says_by_name_too(
    make: Callable[[], Bench], code: int, task: int, params: Mapping[str, str]
) -> None:
    view = view_of(make(), task)

    assert (view.error_code or 0) == code or not code
    assert dict(view.error_params) == params
    assert view.error_message


def test_every_number_of_ours_is_in_the_table_or_says_why_not() -> None:
    known = {
        name
        for name, number in vars(codes).items()
        if name.isupper() and isinstance(number, int) and number < 0
    }
    tested = {code for _, code, _, _ in REASONS}

    untested = {name for name in known if vars(codes)[name] not in tested}
    assert untested == UNUSED.keys()


def test_a_master_says_what_its_first_failed_element_says() -> None:
    bench = Bench(sweep(3, stdout_path="out-*"), settings=NO_RERUNS).start()
    detail = EndDetail(code="stdout", message="no")
    bench.end(1, 2, reason=EndReason.START_FAILED, code=-1, detail=detail)
    bench.fail(1, 3)

    view = master_view(bench.job, bench.job.tasks[0], node)

    assert view.error_code == codes.STDOUT_FAILED
    assert view.error_params == {"problem": "no", "path": "out-2", "node": "n1"}


def test_what_has_no_error_says_nothing() -> None:
    bench = Bench(plain(), sweep(2)).start()

    for view in (view_of(bench, 0), view_of(bench, 1), view_of(bench, 2)):
        assert (view.error_code, dict(view.error_params)) == (0, {})


def test_a_requeue_forgets_what_the_last_run_said() -> None:
    bench = Bench(plain("a")).start().fail(1)
    assert job_view(bench.job, node).error_params

    bench.requeue()

    assert not job_view(bench.job, node).error_params
    assert not view_of(bench, 1).error_params
