"""``hpc cluster doctor``: what is wrong with the cluster, and what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from hpcsched.cli.lines import one_line
from hpcsched.cli.problems import DONE, REFUSED
from hpcsched.cli.verbs import Verb, pass_app

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hpcsched.api.v1 import cluster_service_pb2
    from hpcsched.cli.app import App
    from hpcsched.client.api import Api

#: This machine's clock may differ from the head's by so much, seconds.
CLOCK_S: Final = 5.0


@click.command("doctor", cls=Verb)
@click.option("--store", is_flag=True, help="Look through the store too (up to 30 s).")
@pass_app
def doctor(app: App, *, store: bool) -> int:
    """Say what is wrong with the cluster, and what to do (administrators).

    \b
    Looks at the head, its store and backups, nodes, jobs that wait in vain, and
    at what ends soon. The status is 1 if there are warnings or errors; notes are
    no trouble.
      hpc cluster doctor
      hpc cluster doctor --store --json
    """

    async def work(
        client: Api,
    ) -> cluster_service_pb2.DiagnoseClusterResponse:
        clock = client.caller.clock
        before = clock.wall()
        answer = await client.cluster.diagnose(store=store)
        answer.findings.extend(_here(answer, before, clock.wall()))
        return answer

    answer = app.call(work)
    findings = sorted(answer.findings, key=lambda one: -one.severity)
    healthy = all(one.severity == one.SEVERITY_NOTE for one in findings)
    if app.as_json:
        from hpcsched.cli.shapes import to_dict

        del answer.findings[:]
        answer.findings.extend(findings)
        app.print_json({"healthy": healthy, **to_dict(answer)})
    elif app.quiet:
        for one in findings:
            app.print(one.rule)
    else:
        for one in findings:
            app.print(_told(one))
        if not findings:
            also = ", the store included" if store else ""
            app.print(f"nothing is wrong{also} (head {answer.version})")
    return DONE if healthy else REFUSED


def _told(one: cluster_service_pb2.Finding) -> str:
    name = type(one).Severity.Name(one.severity).removeprefix("SEVERITY_").lower()
    lines = [f"{name}: {one_line(one.text)} [{one.rule}]"]
    lines.append(f"    why:   {one_line(one.why)}")
    lines.append(f"    to do: {one_line(one.action)}")
    if one.command:
        lines.append(f"           {one_line(one.command)}")
    return "\n".join(lines)


def _here(
    answer: cluster_service_pb2.DiagnoseClusterResponse, before: float, after: float
) -> Iterator[cluster_service_pb2.Finding]:
    """Say what is wrong between this machine and the head."""
    from hpcsched.api.v1 import cluster_service_pb2
    from hpcsched.common.version import version

    warning = cluster_service_pb2.Finding.SEVERITY_WARNING
    own = version()
    if answer.version and answer.version != own:
        yield cluster_service_pb2.Finding(
            severity=warning,
            rule="cli_version",
            text=f"this hpc has version {own}, the head {answer.version}",
            why="it works, but not every feature may be there on both sides",
            action="install the head's version here",
            command="hpc --version",
        )
    if not answer.HasField("time"):
        return
    head = answer.time.seconds + answer.time.nanos / 1e9
    ahead = max(before - head, 0.0) or min(after - head, 0.0)
    if abs(ahead) >= CLOCK_S:
        side = "ahead of" if ahead > 0 else "behind"
        yield cluster_service_pb2.Finding(
            severity=warning,
            rule="cli_clock",
            text=f"this machine's clock is {abs(ahead):.0f} s {side} the head's",
            why="times that are given here mean something else there",
            action="let the machines' clocks follow one server",
            command="chronyc tracking",
        )
