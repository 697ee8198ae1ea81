"""What hpcschedd does with a store instead of serving it."""

from __future__ import annotations

import json
import signal
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from hpcsched.api.v1 import job_pb2, task_pb2
from hpcsched.common.errors import HpcError
from hpcsched.daemon.main import main
from tests.support.daemon import Daemon, run

if TYPE_CHECKING:
    from pathlib import Path

JOB = job_pb2.JobSpec(name="kept", tasks=[task_pb2.TaskSpec(command_line="true")])


def damage(state: Path, statement: str) -> None:
    with closing(sqlite3.connect(state / "hpcsched.db")) as connection:
        connection.execute(statement)
        connection.commit()


def hpcschedd(*arguments: object) -> int:
    """Run the program in this process; return its exit status."""
    with pytest.raises(SystemExit) as ended:
        main([*map(str, arguments)])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_a_check_tells_each_finding_and_ends_with_status_65(
    daemon: Daemon, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.start()
    with daemon.client() as client:
        (job_id,) = client.submit(JOB)

        beside = run("--check", "--state-dir", daemon.state)
    daemon.stop(signal.SIGTERM)
    damage(daemon.state, "UPDATE job SET priority = 1")
    status = hpcschedd("--check", "--state-dir", daemon.state)
    plain = capsys.readouterr()
    hpcschedd("--check", "--json", "--state-dir", daemon.state)
    told = json.loads(capsys.readouterr().out)

    assert (beside.returncode, beside.stdout) == (0, ""), beside
    assert "sound" in beside.stderr
    assert "1 job" in beside.stderr
    text = f"job {job_id}: lists say priority 1, the job 2000"
    assert status == 65
    assert plain.out == f"lists: {text}\n"
    assert "--restore" in plain.err
    assert told["sound"] is False
    assert told["findings"] == [{"rule": "lists", "text": text, "job_id": job_id}]
    assert told["counts"]["job"] == 1


def test_a_check_of_nothing_says_where_it_looked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert hpcschedd("--check", "--state-dir", tmp_path / "none") == 65
    assert f"there is no {tmp_path}/none" in capsys.readouterr().out


def test_a_backup_is_restored_into_restore_mode_behind_what_was_given_out(
    daemon: Daemon, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    daemon.start()
    with daemon.client() as client:
        cluster = client.api.cluster
        (first,) = client.submit(JOB)
        made = client.run(cluster.create_backup())
        (second,) = client.submit(JOB)
        listed = [one.name for one in client.run(cluster.backups())]
    backup = daemon.state / "backups" / made.name
    beside = hpcschedd("--restore", backup, "--state-dir", daemon.state)
    told = capsys.readouterr().err
    daemon.stop(signal.SIGTERM)
    status = hpcschedd("--restore", backup, "--state-dir", daemon.state)
    done = capsys.readouterr().err
    daemon.start()
    with daemon.client() as client:
        cluster = client.api.cluster
        kept = [job.id for job in client.jobs()]
        info = client.run(cluster.info())
        with pytest.raises(HpcError) as refused:
            client.submit(JOB)
        client.run(cluster.set_parameters({"RestoreMode": "False"}))
        (third,) = client.submit(JOB)

    assert listed == [made.name]
    assert made.directory == str(backup.parent)
    assert beside == 75
    assert str(daemon.state) in told
    assert "stop the head first" in told
    assert status == 0
    assert "RestoreMode=False" in done
    assert kept == [first]
    assert info.restore_mode
    assert info.term > 1 << 20
    assert refused.value.reason == "RESTORE_MODE"
    assert third == second + 1


def test_only_one_thing_is_done_with_a_store_at_once(tmp_path: Path) -> None:
    state = tmp_path / "none"

    assert hpcschedd("--check", "--rewrite-store", "--state-dir", state) == 2
    assert not state.exists()
