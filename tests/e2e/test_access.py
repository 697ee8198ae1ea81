"""Who may do what: users, administrators, nodes and strangers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.cluster import state_of

if TYPE_CHECKING:
    from tests.support.cluster import Cluster


def token_of(cluster: Cluster, user: str, *options: str) -> Path:
    path = cluster.cwd / f"{user}.token"
    cluster.hpc("token", "create", "--user", user, "--out", path, *options)
    return path


def test_a_token_is_for_its_owners_eyes_only(cluster: Cluster) -> None:
    path = token_of(cluster, "ada")

    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_text().strip() not in cluster.hpc("token", "list", "--json").out


def test_users_act_on_their_own_jobs_and_administrators_on_all(
    cluster: Cluster,
) -> None:
    ada, bob = token_of(cluster, "ada"), token_of(cluster, "bob")
    line = ("submit", "--cores", "99", "--", "echo", "mine")
    job_id = int(cluster.hpc(*line, HPC_TOKEN_FILE=ada).out)
    cancel = ("job", "cancel", job_id)

    done = cluster.hpc("--json", *cancel, status=4, HPC_TOKEN_FILE=bob)
    assert done.error["reason"] == "PERMISSION_DENIED"
    assert state_of(cluster.job(job_id)) == "QUEUED"
    assert cluster.job(job_id).owner == "ada"
    cluster.hpc("task", "list", job_id, status=4, HPC_TOKEN_FILE=bob)
    cluster.hpc("job", "show", job_id, HPC_TOKEN_FILE=bob)
    assert not cluster.hpc("--quiet", "job", "list", HPC_TOKEN_FILE=bob).out
    cluster.hpc(*cancel)
    assert state_of(cluster.job(job_id)) == "CANCELED"


def test_an_operator_stops_and_reads_the_jobs_of_others_and_changes_none(
    cluster: Cluster,
) -> None:
    ada = token_of(cluster, "ada")
    operator = token_of(cluster, "oscar", "--role", "joboperator")
    line = ("submit", "--cores", "99", "--", "echo", "mine")
    job_id = int(cluster.hpc(*line, HPC_TOKEN_FILE=ada).out)

    cluster.hpc("task", "list", job_id, HPC_TOKEN_FILE=operator)
    cluster.hpc("job", "configure", job_id, status=4, HPC_TOKEN_FILE=operator)
    cluster.hpc("job", "cancel", job_id, HPC_TOKEN_FILE=operator)

    assert state_of(cluster.job(job_id)) == "CANCELED"
    info = cluster.hpc("--json", "cluster", "info", HPC_TOKEN_FILE=operator).json
    assert (info["user"], info["role"]) == ("oscar", "ROLE_JOB_OPERATOR")
    cluster.hpc("cluster", "set", "TaskRetryCount=9", status=4, HPC_TOKEN_FILE=operator)


def test_users_do_not_administer_the_cluster(cluster: Cluster) -> None:
    ada = token_of(cluster, "ada")
    for command in (
        ("node", "offline", "n1"),
        ("node", "exec", "n1", "--", "true"),
        ("cluster", "set", "TaskRetryCount=9"),
        ("token", "create", "--user", "eve", "--out", "eve.token"),
    ):
        done = cluster.hpc("--json", *command, status=4, HPC_TOKEN_FILE=ada)
        assert done.error["reason"] == "PERMISSION_DENIED", command
    assert not (cluster.cwd / "eve.token").exists()
    assert cluster.hpc("cluster", "get", "TaskRetryCount").out.strip().endswith("3")


def test_strangers_and_nodes_are_not_let_in(cluster: Cluster) -> None:
    forged = cluster.cwd / "forged"
    forged.write_text("hpc_0123456789abcdef0123456789abcdef\n")
    empty = cluster.cwd / "empty"
    empty.write_text("")
    for path in (forged, cluster.dir / "tokens" / "node"):
        done = cluster.hpc("--json", "job", "list", status=4, HPC_TOKEN_FILE=path)
        assert done.error["reason"] in {"UNAUTHENTICATED", "PERMISSION_DENIED"}
    for path in (empty, cluster.cwd / "missing"):
        done = cluster.hpc("job", "list", status=None, HPC_TOKEN_FILE=path)
        assert done.status in {2, 4}, done
        assert path.name in done.err


def test_a_revoked_token_and_one_that_has_expired_are_void(cluster: Cluster) -> None:
    path = cluster.cwd / "t"
    made = cluster.hpc("--json", "token", "create", "--user", "ada", "--out", path).json
    cluster.hpc("job", "list", HPC_TOKEN_FILE=path)
    cluster.hpc("token", "revoke", made["id"])

    cluster.hpc("job", "list", status=4, HPC_TOKEN_FILE=path)
