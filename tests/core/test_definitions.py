"""What nodes are told of a task follows the cluster's parameters."""

from __future__ import annotations

from dataclasses import replace

from hpcsched.core.orders import DefineTask, StartTasks, StopTasks
from hpcsched.core.settings import Settings
from hpcsched.core.task.states import TaskState
from tests.support.job_bench import ROOT, Bench, plain, sweep


def test_a_changed_parameter_is_obeyed_by_what_starts_after_it() -> None:
    bench = Bench(sweep(3)).start({1: 1})
    bench.settings = replace(Settings(), grace_s=1, signal=2, output_limit=10)

    bench.end(1, 1)
    bench.end(1, 2)

    definitions = {o.definition: o for _, o in bench.told(DefineTask)}
    assert (definitions[1].grace_ms, definitions[1].signal) == (15000, 15)
    assert (definitions[2].grace_ms, definitions[2].signal) == (1000, 2)
    assert definitions[2].output_limit == 10
    assert [o.definition for _, o in bench.told(StartTasks)] == [1, 2, 2]


def test_a_parameter_that_tasks_do_not_notice_makes_no_new_version() -> None:
    bench = Bench(sweep(2)).start({1: 1})
    bench.settings = replace(Settings(), ttl_days=9)

    bench.end(1, 1)

    assert {o.definition for _, o in bench.told(DefineTask)} == {1}


def test_the_grace_of_a_cancel_is_the_one_of_its_time() -> None:
    bench = Bench(plain()).start()
    bench.settings = replace(Settings(), grace_s=3)

    bench.cancel_tasks((1, 0))

    assert [o.grace_ms for _, o in bench.told(StopTasks)] == [3000]
    assert bench.state(1) is TaskState.CANCELING


def test_names_of_the_schedulers_are_ignored_but_for_those_that_nodes_read() -> None:
    given = {"CCP_JOBID": "9", "ccp_mine": "x", "CCP_ISADMIN": "1", "A": "b"}
    ours = {"CCP_MPI_HOSTFILE_FORMAT": "2", "CCP_DISABLE_CGROUP": "1"}

    bench = Bench(plain(environment={**given, **ours})).start()

    ((_, definition),) = bench.told(DefineTask)
    found = definition.environment
    assert found["CCP_JOBID"] == "7"
    assert ours.items() <= found.items()
    assert not {"ccp_mine", "CCP_ISADMIN"} & found.keys()
    assert found["CCP_ENVLIST"] == "A,CCP_DISABLE_CGROUP,CCP_MPI_HOSTFILE_FORMAT"


def test_double_quotes_around_a_path_are_stripped_and_no_others() -> None:
    paths = {
        "work_directory": '"/a b"',
        "stdin_path": '"in put"',
        "stdout_path": 'say "x"',
        "stderr_path": '"',
    }

    bench = Bench(plain(**paths)).start()

    ((_, found),) = bench.told(DefineTask)
    assert (found.work_directory, found.stdin_path) == ("/a b", "in put")
    assert (found.stdout_path, found.stderr_path) == ('say "x"', '"')


def test_a_node_is_told_whose_a_task_is_and_as_whom_it_is_to_run() -> None:
    bench = Bench(plain())
    bench.modify(caller=ROOT, user_name="eve")
    bench.submit(ROOT).grant().run_all()

    (definition,) = [order for _, order in bench.told(DefineTask)]
    assert (definition.owner, definition.user) == ("ann", "eve")
