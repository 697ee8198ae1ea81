"""Kill any of the daemons: tasks run on, nothing is lost, nothing runs twice.

`kill` is kill -9; `up` on the same directory starts what is not running.
"""

from __future__ import annotations

import json
import os
import random
import threading
from collections import Counter
from typing import IO, TYPE_CHECKING, Any

import pytest

from tests.e2e.conftest import running
from tests.support.cluster import ENDED, PATIENCE_S, state_of
from tests.support.polling import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.cluster import Cluster

#: A task that notes its start, lasts until it is told to end, and has a status of its
#: own. An element appends one line, which O_APPEND keeps whole.
NOTED = (
    "echo $CCP_TASKINSTANCEID:$CCP_RETRY_COUNT >>runs; "
    "until [ -e go ]; do sleep 0.02; done; exit 7"
)

#: Other moments and other victims: E2E_SEEDS=20 for a long search.
SEEDS = range(1, 1 + int(os.environ.get("E2E_SEEDS", "1")))


@pytest.fixture(scope="module")
def victim() -> Iterator[Cluster]:
    yield from running()


@pytest.fixture
def cluster(victim: Cluster, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A cluster of this module's own, whole and idle before and after."""
    victim.cwd = victim.base / f"work-{id(request.node):x}"
    victim.cwd.mkdir()
    yield victim
    victim.up()
    victim.clear()


@pytest.fixture
def patient(cluster: Cluster) -> Cluster:
    """The cluster with new agents, which have not learned yet to pause long."""
    cluster.kill("n1.agent", "n2.agent")
    cluster.up()
    return cluster


def runs(cluster: Cluster) -> list[str]:
    path = cluster.cwd / "runs"
    return sorted(path.read_text().split()) if path.exists() else []


@pytest.mark.parametrize(
    "names",
    [
        ["head"],
        ["n1.agent", "n2.agent"],
        ["head", "n1.agent", "n2.agent"],
        ["n1.spawner", "n2.spawner"],
        ["n1.supervisor", "n2.supervisor"],
        ["head", "n1.agent", "n2.agent", "n1.spawner", "n2.spawner"],
    ],
    ids=["head", "agents", "head and agents", "spawners", "supervisors", "most"],
)
def test_tasks_outlive_what_is_killed_and_report_their_exact_status(
    cluster: Cluster, names: list[str]
) -> None:
    job_id = cluster.submit("--array", "1-6", "--valid-exit", "7", "--shell", NOTED)
    wait_for(lambda: len(runs(cluster)) == 4, what="four elements that run")

    cluster.kill(*names)
    (cluster.cwd / "go").touch()
    cluster.up()
    job = cluster.ended(job_id)

    elements = cluster.client.tasks(job_id, elements=True)
    assert [(state_of(t), t.exit_code) for t in elements] == [("FINISHED", 7)] * 6
    assert runs(cluster) == [f"{n}:0" for n in range(1, 7)], "each ran exactly once"
    assert [t.attempt for t in elements] == [1] * 6
    assert state_of(job) == "FINISHED"


def test_a_cancel_that_was_answered_is_carried_out_after_the_head_was_killed(
    cluster: Cluster,
) -> None:
    line = "trap '' TERM; echo x >>runs; while :; do sleep 0.02; done"
    job_id = cluster.submit("--grace", "1s", "--shell", line)
    wait_for(lambda: runs(cluster), what="the task's start")
    cluster.hpc("job", "cancel", job_id, "--message", "stop it")

    cluster.kill("head")
    cluster.up()
    job = cluster.ended(job_id)

    assert (state_of(job), job.error_message) == ("CANCELED", "stop it")
    assert state_of(cluster.task(job_id)) == "FAILED"


def test_what_was_submitted_while_nodes_were_away_runs_when_they_are_back(
    cluster: Cluster,
) -> None:
    cluster.kill("n1.agent", "n2.agent")
    job_id = cluster.submit("--array", "1-4", "--", "true")
    cluster.up()

    assert state_of(cluster.ended(job_id)) == "FINISHED"


def test_a_run_that_waits_goes_on_while_the_head_is_restarted(cluster: Cluster) -> None:
    with cluster.popen("run", "--shell", f"echo a; {NOTED}") as runner:
        wait_for(lambda: runs(cluster), what="the task's start")
        cluster.kill("head")
        (cluster.cwd / "go").touch()
        cluster.up()
        out, err = runner.communicate(timeout=PATIENCE_S)

    assert (runner.returncode, out) == (7, "a\n"), err


class Subscriber(threading.Thread):
    """Follows all events as `hpc events --follow` prints them; resumes by its cursor.

    It is broken off now and then, as a subscriber of the real world is.
    """

    def __init__(self, cluster: Cluster, job_id: int, chance: random.Random) -> None:
        super().__init__(daemon=True)
        self.revisions: list[int] = []
        self.changes: list[Any] = []
        self.starts = 0
        self._cluster = cluster
        self._job_id = job_id
        self._chance = chance

    def run(self) -> None:
        cursor = ""
        while not self._is_complete():
            after = ["--after", cursor] if cursor else []
            command = ["--json", "events", "--follow", "--job", self._job_id, *after]
            self.starts += 1
            with self._cluster.popen(*command) as reader:
                assert reader.stdout is not None
                cursor = self._read(reader.stdout, cursor)
                reader.terminate()

    def _read(self, lines: IO[str], cursor: str) -> str:
        left = self._chance.randint(50, 400)
        for line in lines:
            event = json.loads(line)
            cursor = event["cursor"]
            if "revision" in event:
                self.revisions.append(int(event["revision"]))
                self.changes.extend(event["changes"])
            left -= 1
            if not left or self._is_complete():
                break
        return cursor

    def _is_complete(self) -> bool:
        return any(
            c["task_id"] == 0 and c["state"].removeprefix("STATE_") in ENDED
            for c in self.changes
        )


@pytest.mark.parametrize("seed", SEEDS)
def test_a_sweep_runs_each_element_once_while_the_head_is_killed_again_and_again(
    patient: Cluster, seed: int
) -> None:
    cluster = patient
    chance = random.Random(seed)
    count = 2000
    job_id = cluster.submit(
        "--array", f"1-{count}", "--valid-exit", "0,3",
        "--shell", "echo *:$CCP_RETRY_COUNT >>runs; [ $((* % 2)) = 0 ] || exit 3",
    )  # fmt: skip
    subscriber = Subscriber(cluster, job_id, chance)
    subscriber.start()

    marks = sorted(chance.randint(20, count - 300) for _ in range(3))
    for mark in marks:
        wait_for(lambda m=mark: len(runs(cluster)) >= m, what=f"{mark} runs")  # type: ignore[misc]
        cluster.kill("head")
        cluster.up()
    job = cluster.ended(job_id)
    subscriber.join(timeout=PATIENCE_S)

    assert Counter(runs(cluster)) == Counter(f"{n}:0" for n in range(1, count + 1))
    elements = cluster.client.tasks(job_id, elements=True)
    assert {state_of(t) for t in elements} == {"FINISHED"}
    assert [t.exit_code for t in elements] == [n % 2 * 3 for n in range(1, count + 1)]
    # What waited on a node in vain was taken back, and got another number.
    assert {t.attempt for t in elements} <= {1, 2, 3}
    assert not any(t.auto_requeue_count or t.requeue_count for t in elements)
    assert job.task_counts.finished == count
    assert not subscriber.is_alive(), subscriber.revisions[-1:]
    assert subscriber.revisions == list(range(1, len(subscriber.revisions) + 1))
    assert subscriber.starts > 1
    left = [line for line in cluster.belongings().values() if "echo" in line]
    assert not left, "a task was left behind"


@pytest.mark.parametrize("seed", SEEDS)
def test_no_attempt_runs_twice_whoever_is_killed(patient: Cluster, seed: int) -> None:
    cluster = patient
    chance = random.Random(seed)
    count = 800
    job_id = cluster.submit(
        "--array", f"1-{count}", "--valid-exit", "0,3",
        "--shell", "echo *:$CCP_RETRY_COUNT >>runs; [ $((* % 2)) = 0 ] || exit 3",
    )  # fmt: skip
    victims = ["head", "n1.agent", "n2.agent", "n1.spawner", "n2.spawner"]

    for mark in sorted(chance.randint(20, count - 200) for _ in range(4)):
        wait_for(lambda m=mark: len(runs(cluster)) >= m, what=f"{mark} runs")  # type: ignore[misc]
        cluster.kill(*chance.sample(victims, chance.randint(1, 3)))
        cluster.up()
    cluster.ended(job_id)

    ran = Counter(runs(cluster))
    assert max(ran.values()) == 1, [name for name, times in ran.items() if times > 1]
    elements = cluster.client.tasks(job_id, elements=True)
    last = [f"{t.instance_id}:{t.auto_requeue_count}" for t in elements]
    assert set(last) <= set(ran), "an element ended that did not run"
    assert {state_of(t) for t in elements} == {"FINISHED"}
    assert [t.exit_code for t in elements] == [n % 2 * 3 for n in range(1, count + 1)]


def test_a_torn_down_cluster_starts_its_tasks_again_as_new_attempts(
    cluster: Cluster,
) -> None:
    line = "echo x >>runs; until [ -e go ]; do sleep 0.02; done"
    job_id = cluster.submit("--array", "1-3", "--shell", line)
    once = cluster.submit("--no-rerunnable", "--shell", line)
    done = cluster.submit("--cores", "99", "--", "true")
    wait_for(lambda: len(runs(cluster)) == 4, what="four tasks that run")

    cluster.down()
    assert not cluster.belongings()
    (cluster.cwd / "go").touch()
    cluster.up()

    assert state_of(cluster.ended(job_id)) == "FINISHED"
    elements = cluster.client.tasks(job_id, elements=True)
    assert [(t.attempt, t.auto_requeue_count) for t in elements] == [(2, 1)] * 3
    assert state_of(cluster.ended(once)) == "FAILED"
    assert state_of(cluster.job(done)) == "QUEUED"
    assert runs(cluster) == ["x"] * 7
