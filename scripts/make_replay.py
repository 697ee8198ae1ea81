"""Makes a store as an earlier revision of this program left it: tests/replay.

``scripts/make_replay.py COMMIT`` runs that commit's own head, with its own store, and
writes tests/replay/SCHEMA-COMMIT.db.xz: jobs that ended, run, wait, were canceled; a
node, parameters, tokens. The head is killed, not stopped: what runs is recorded so.

``scripts/make_replay.py COMMIT crowd`` writes SCHEMA-COMMIT-crowd.db.xz: a crowd of
equal jobs of which two run, some wait on the node before a core is free there, and all
others sleep as one lot (revisions since schema 0007 have these).
"""

from __future__ import annotations

import io
import lzma
import os
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
from contextlib import closing
from pathlib import Path

ROOT = Path(__file__).parent.parent
CORPUS = ROOT / "tests" / "replay"
MAKER = """
import asyncio, sys
from pathlib import Path
from tests.support.head_bench import (
    ANN, BOB, ROOT, Bench, NO_ID, a_job, a_sweep, a_task, once
)
from tests.support.manual_clock import ManualClock
from tests.support.seeded_ids import SeededIds
from tests.support.store_kit import SqliteKit
from hpcsched.runtime.front import Stop


async def until(bench, job_id, state):
    for _ in range(400):
        await bench.clock.advance(0.25)
        await asyncio.sleep(0.005)
        if await bench.state(job_id) == state:
            return
    raise AssertionError(f"{job_id} is {await bench.state(job_id)}, not {state}")


async def main():
    kit = SqliteKit(Path(sys.argv[1]))
    clock = ManualClock()
    async with Bench(clock, SeededIds(clock, 1), kit.store) as bench:
        agent = await bench.node("n1", cores=4)
        agent.plan = lambda p: (0.5, p.key[2] % 2 if p.key[0] == 2 else 0)
        for _ in range(40):
            await asyncio.sleep(0.01)
            await bench.clock.advance(0.25)
        await bench.head.set_parameters(ROOT, {"TTLCompletedJobs": "9"}, once("p"))
        await bench.head.create_token(ROOT, "ann", "user", None)
        finished = await bench.submit(a_sweep(6), a_task(name="last"))
        await until(bench, finished, "Finished")
        failed = await bench.submit(a_sweep(300), name="many",
                                    custom_properties={"team": "x"})
        await until(bench, failed, "Failed")
        again = await bench.submit(a_task(), priority=3000)
        await until(bench, again, "Finished")
        agent.plan = lambda p: None
        running = await bench.submit(a_sweep(8), caller=BOB)
        await until(bench, running, "Running")
        waiting = await bench.submit(a_task(), a_task(), name="waits")
        canceled = await bench.submit()
        await bench.head.cancel_jobs(ANN, [canceled], Stop(), once("c"))
        await bench.head.create_job(ANN, a_job(a_task()), NO_ID, validate_only=False)
        for _ in range(20):
            await asyncio.sleep(0.01)
            await bench.clock.advance(0.25)
        await kit.store.close()

asyncio.run(main())
"""
CROWD = """
import asyncio, sys
from pathlib import Path
from tests.support.head_bench import ANN, NO_ID, ROOT, Bench, a_job
from tests.support.manual_clock import ManualClock
from tests.support.seeded_ids import SeededIds
from tests.support.store_kit import SqliteKit
from hpcsched.runtime.front import Edit, Stop


async def main():
    kit = SqliteKit(Path(sys.argv[1]))
    clock = ManualClock()
    async with Bench(clock, SeededIds(clock, 1), kit.store) as bench:
        agent = await bench.node("n1", cores=2)
        agent.plan = lambda _: (0.002, 0)
        for _ in range(4):  # the head learns how long such jobs take
            await bench.until_state(await bench.submit(), "Finished")
        agent.plan = lambda _: None
        new = [a_job()] * 12
        await bench.head.submit_jobs(ANN, new, NO_ID, validate_only=False)
        while len(agent.queue) < 10:
            await asyncio.sleep(0.01)
        new = [a_job()] * 100
        lot = await bench.head.submit_jobs(ANN, new, NO_ID, validate_only=False)
        await bench.head.cancel_jobs(ANN, [lot[60]], Stop(), NO_ID)
        edit = Edit(changes={"priority": 1000})
        await bench.head.modify_job(ROOT, lot[80], edit, NO_ID)
        await asyncio.sleep(1)
        assert len(agent.live) == 2, agent.live
        assert 10 <= len(agent.queue) <= 60, len(agent.queue)
        assert bench.world.jobs.awake < 70, bench.world.jobs.awake
        await kit.store.close()

asyncio.run(main())
"""
MAKERS = {"": MAKER, "crowd": CROWD}


def main() -> int:
    """Make the store of one commit."""
    commit, what = (*sys.argv[1:], "")[:2]
    short = _git("rev-parse", "--short=7", commit).decode().strip()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        archive = _git("archive", commit, "hpcsched", "node_agent", "tests")
        with tarfile.open(fileobj=io.BytesIO(archive)) as files:
            files.extractall(folder, filter="data")
        maker, store = folder / "maker.py", folder / "made.db"
        maker.write_text(MAKERS[what])
        environment = {**os.environ, "PYTHONPATH": str(folder)}
        command = [sys.executable, str(maker), str(store)]
        subprocess.run(command, env=environment, check=True, cwd=folder)
        with closing(sqlite3.connect(store, isolation_level=None)) as made:
            made.execute("PRAGMA journal_mode=delete").fetchall()
            made.execute("VACUUM")
            (schema,) = made.execute(
                "SELECT version_num FROM alembic_version"
            ).fetchone()
        CORPUS.mkdir(exist_ok=True)
        name = "-".join(filter(None, (schema, short, what)))
        target = CORPUS / f"{name}.db.xz"
        target.write_bytes(lzma.compress(store.read_bytes(), preset=9))
    sys.stdout.write(f"{target.name}: {target.stat().st_size} bytes\n")
    return 0


def _git(*arguments: str) -> bytes:
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, check=True, capture_output=True).stdout


if __name__ == "__main__":
    sys.exit(main())
