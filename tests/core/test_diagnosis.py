"""What a diagnosis finds: each rule by what provokes it, and nothing where all is well.

Every finding says why it matters and what to do.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hpcsched.core import diagnosis
from hpcsched.core.diagnosis.diagnose import diagnose
from hpcsched.core.diagnosis.facts import (
    ClusterFacts,
    NodeFacts,
    StoreFacts,
    StuckJobs,
    TokenFacts,
)
from hpcsched.core.diagnosis.finding import Severity

DAY = 86_400.0
NOW = 1_000 * DAY
NODE = NodeFacts(name="n1", state="Online", agent_version="1")
WELL = ClusterFacts(now=NOW, version="1", nodes=(NODE, replace(NODE, name="n2")))
STUCK = StuckJobs(ever=True, needs="it needs 9 cores", count=2, job_ids=(4, 7))
TOKEN = TokenFacts(
    token_id="t1",  # noqa: S106  a name
    user="*",
    role="node",
    create_time=0.0,
    expire_time=NOW + 3 * DAY,
)
DOCS = Path(__file__).parents[2] / "docs" / "guide" / "doctor.md"


def with_node(**facts: Any) -> dict[str, Any]:
    return {"nodes": (NODE, replace(NODE, name="n2", **facts))}


ERROR, WARNING, NOTE = Severity.ERROR, Severity.WARNING, Severity.NOTE
RULES: dict[str, tuple[Severity, dict[str, Any]]] = {
    "safe_mode": (ERROR, {"safe_mode": "n1 knows more"}),
    "restore_mode": (WARNING, {"restore_mode": True}),
    "disk_low": (ERROR, {"disk_problem": "/x has 3 MiB left"}),
    "head_late": (WARNING, {"lag_s": 1.5}),
    "node_alarm": (ERROR, {"alarms": ("two machines are called n1",)}),
    "backlog": (NOTE, {"queued": 10_000}),
    "no_recent_backup": (WARNING, {"backup_time": NOW - 8 * DAY}),
    "store_damaged": (ERROR, {"store": StoreFacts(problems=("counters: 1 is 2",))}),
    "store_not_all_checked": (NOTE, {"store": StoreFacts(whole=False)}),
    "no_nodes": (ERROR, {"nodes": ()}),
    "no_node_takes_work": (ERROR, {"nodes": (replace(NODE, ready=False),)}),
    "node_unreachable": (ERROR, with_node(reachable=False, ready=False)),
    "node_silent": (WARNING, with_node(ready=False)),
    "node_flapping": (WARNING, with_node(connections=4)),
    "node_clock": (WARNING, with_node(clock_ahead_s=-6.0)),
    "node_version": (WARNING, with_node(agent_version="0.9")),
    "node_orphans": (WARNING, with_node(orphans=2)),
    "node_offline": (NOTE, with_node(state="Offline", ready=False, reason="disk")),
    "node_draining": (NOTE, with_node(state="Draining", ready=False)),
    "node_without_group": (NOTE, {"groups": True, **with_node(grouped=False)}),
    "job_set_aside": (ERROR, {"apart": (5,)}),
    "job_unreadable": (ERROR, {"apart": (5,), "unreadable": (5,)}),
    "job_never_starts": (WARNING, {"stuck": (STUCK,)}),
    "job_waits_for_nodes": (WARNING, {"stuck": (replace(STUCK, ever=False),)}),
    "certificate_expires": (WARNING, {"certificate_end": NOW + 2 * DAY}),
    "token_expires": (WARNING, {"tokens": (TOKEN,)}),
}


def found(**facts: Any) -> list[str]:
    return [finding.rule for finding in diagnose(replace(WELL, **facts))]


def test_nothing_is_found_where_all_is_well() -> None:
    assert found() == []
    assert found(backup_time=NOW - DAY, age_s=900 * DAY, queued=50) == []
    assert found(store=StoreFacts(), certificate_end=NOW + 300 * DAY) == []
    assert found(**with_node(clock_ahead_s=4.0, connections=3)) == []


@pytest.mark.parametrize("rule", RULES)
def test_each_finding_says_what_why_and_what_to_do(rule: str) -> None:
    severity, facts = RULES[rule]

    (finding,) = [one for one in diagnose(replace(WELL, **facts)) if one.rule == rule]

    assert finding.severity is severity
    assert finding.text
    assert finding.why
    assert finding.action
    assert finding.command


def test_every_rule_is_provoked_here_and_has_its_line_in_the_guide() -> None:
    folder = Path(diagnosis.__file__).parent
    texts = [path.read_text() for path in folder.glob("of_*.py")]
    named = {
        rule
        for text in texts
        for rule in re.findall(r'rule="(\w+)"|else "(node_\w+)"', text)
        for rule in rule
        if rule
    }
    told = set(re.findall(r"^\| `(\w+)`", DOCS.read_text(), re.MULTILINE))

    assert named == set(RULES)
    assert told == named | {"cli_clock", "cli_version"}


def test_the_worst_comes_first() -> None:
    facts = {**with_node(state="Offline", ready=False), "apart": (5,)}

    assert found(restore_mode=True, **facts) == [
        "job_set_aside",
        "restore_mode",
        "node_offline",
    ]


def test_an_offline_node_that_is_switched_off_is_no_trouble() -> None:
    facts = with_node(state="Offline", ready=False, reachable=False)

    assert found(**facts) == ["node_offline"]


def test_nodes_of_one_trouble_are_told_together() -> None:
    lost = [
        replace(NODE, name=f"n{number:02}", reachable=False, ready=False, job_ids=(3,))
        for number in range(1, 41)
    ]

    (finding,) = diagnose(replace(WELL, nodes=(NODE, *lost)))

    assert finding.text == (
        "40 nodes (n[01-16] and 24 more) are not reachable; 1 jobs hold something there"
    )
    assert finding.command == "hpc node why n[01-40]"
    assert (len(finding.nodes), finding.job_ids) == (40, (3,))


def test_a_store_of_a_week_without_a_backup_is_told_a_new_one_is_not() -> None:
    assert found(age_s=6 * DAY) == []
    assert found(age_s=8 * DAY) == ["no_recent_backup"]
    assert found(age_s=8 * DAY, backup_time=NOW - 6 * DAY) == []


def test_tokens_that_are_meant_to_end_soon_are_no_trouble() -> None:
    for token in (
        replace(TOKEN, create_time=NOW - DAY),
        replace(TOKEN, role="user"),
        replace(TOKEN, expire_time=float("inf")),
        replace(TOKEN, expire_time=NOW + 20 * DAY),
    ):
        assert found(tokens=(token,)) == []
    (finding,) = diagnose(replace(WELL, certificate_end=NOW - DAY))
    assert finding.severity is Severity.ERROR
    assert "has ended" in finding.text
