"""F59: whatever a file says, it is read, or refused with where and what."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any, Final

import pytest
from google.protobuf.json_format import MessageToDict

from hpcsched.api.v1 import job_pb2, task_pb2
from hpcsched.common.errors import HpcError
from hpcsched.daemon import config as head_config
from hpcsched.jobfile import names
from hpcsched.jobfile.plain import job_of, read_json, read_toml
from hpcsched.jobfile.problems import JobFileError
from hpcsched.jobfile.reading import read_xml
from hpcsched.jobfile.texts import camel
from hpcsched.jobfile.writing import write_xml
from hpcsched.runtime.filter_documents import snapshot_of
from hpcsched.services.filter_documents import XmlDocuments
from node_agent import config as agent_config
from tests.support.campaign import campaign, time_limit
from tests.support.job_bench import Bench, plain
from tests.support.wild_files import V1, V2, json_files, toml_files, xml_files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.timeout(time_limit())

REFERENCE: Final = f"""<?xml version="1.0" encoding="utf-8"?>
<Job Version="3.000" Name="render" UnitType="Core" Priority="AboveNormal"
     ExpandedPriority="3000" RuntimeSeconds="3600" MinCores="2" MaxCores="16"
     AutoCalculateMin="False" IsExclusive="true" RequestedNodes="n1;n2" xmlns="{V2}">
  <Dependencies><Parent GroupId="11"><Child GroupId="12" /></Parent></Dependencies>
  <EnvironmentVariables>
    <Variable><Name>SCENE</Name><Value>castle &amp; moat</Value></Variable>
  </EnvironmentVariables>
  <CustomProperties><Term><Name>a</Name><Value>b</Value></Term></CustomProperties>
  <Tasks>
    <Task NiceId="1" GroupId="11" CommandLine="fetch" Type="Basic" MinCores="1" />
    <Task NiceId="2" GroupId="12" Name="frame" CommandLine="render *" StartValue="1"
          EndValue="100" IncrementValue="3" IsParametric="true" RuntimeSeconds="600" />
  </Tasks>
</Job>"""
FIRST: Final = f"""<Job Name="a" Runtime="1:02:03" xmlns="{V1}">
  <ExtendedTerms><Term><Name>a</Name><Value>b</Value></Term></ExtendedTerms>
  <Tasks><Task Name="b" CommandLine="c" Runtime="Infinite" /></Tasks></Job>"""
JOB: Final = {
    "name": "a",
    "runtime": "1h",
    "priority": 100,
    "environment": {"A": "1"},
    "hold_until": "2030-01-01T00:00:00Z",
    "tasks": [
        {"command_line": "true", "runtime": "90s", "depends_on": ["b"]},
        {"type": "TASK_TYPE_PARAMETRIC_SWEEP", "start_value": 1, "end_value": "9"},
    ],
}
HEAD: Final[dict[str, dict[str, Any]]] = {
    "cluster": {"name": "a", "state_dir": "/s"},
    "listen": {"clients": "127.0.0.1:1", "insecure_loopback": True},
    "tls": {"cert": "c", "key": "k"},
    "log": {"level": "INFO", "json": False},
    "limits": {"calls": 5},
}
AGENT: Final = {
    "dir": "/d",
    "head": ["127.0.0.1:1"],
    "token_file": "/t",
    "name": "n1",
    "cores": 3,
    "groups": ["a"],
    "mpi_network": "10.0.0.0/24",
    "insecure_loopback": True,
}
KEYS: Final = sorted(
    {
        *job_pb2.JobSpec.DESCRIPTOR.fields_by_name,
        *task_pb2.TaskSpec.DESCRIPTOR.fields_by_name,
        *("commandLine", "nope", "seconds", "nanos", ""),
    }
)
ATTRIBUTES: Final = sorted(
    {
        *(*names.JOB, *names.TASK, *names.V1_JOB, *names.V1_TASK),
        *(f"o:{camel(key)}" for key in KEYS if key),
        *("GroupId", "NiceId", "Type", "Version", "IsParametric", "HoldUntil", "x"),
        *("Runtime", "o:Version", "xmlns:p", "p:x", "Name", "name"),
    }
)


def examples() -> list[bytes]:
    """Return files that can be read: the reference's, and ours."""
    ours = write_xml(job_of(dict(JOB)))
    return [REFERENCE.encode(), FIRST.encode(), ours]


def tried(work: Callable[[], object], *kinds: type[Exception]) -> None:
    """Do something; what it is refused with is short, and says something."""
    try:
        work()
    except kinds as error:
        assert not isinstance(error, UnicodeError), repr(error)  # noqa: PT017
        told = str(error)
        assert 0 < len(told) < 2_000, told


def test_f59_any_xml_is_a_job_or_refused_with_what_is_wrong() -> None:
    def work(body: bytes) -> None:
        spec = read_xml(body).spec
        MessageToDict(spec)
        read_xml(write_xml(spec))

    campaign(
        lambda body: tried(lambda: work(body), JobFileError, HpcError),
        xml_files(examples(), ATTRIBUTES),
        examples=60,
    )


def test_f59_any_xml_that_a_filter_leaves_is_taken_or_refused() -> None:
    snapshot = snapshot_of(Bench(plain(), name="a").job, str)
    documents = XmlDocuments()
    valid = [*examples(), documents.write(snapshot)]
    campaign(
        lambda body: tried(
            lambda: documents.read(body, snapshot), ValueError, HpcError
        ),
        xml_files(valid, ATTRIBUTES),
        examples=40,
    )


@pytest.mark.parametrize(
    ("read", "files"), [(read_json, json_files), (read_toml, toml_files)]
)
def test_f59_any_json_or_toml_is_a_job_or_refused_with_what_is_wrong(
    read: Callable[[str], job_pb2.JobSpec], files: Any
) -> None:
    def work(text: str) -> None:
        read_xml(write_xml(read(text)))

    campaign(
        lambda text: tried(lambda: work(text), JobFileError),
        files([JOB], KEYS),
        examples=50,
    )


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", errors="replace", newline="")


def test_f59_any_file_configures_a_head_or_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "hpcschedd.toml"
    keys = [*HEAD, *(key for table in HEAD.values() for key in table), "nope", ""]

    def work(text: str) -> None:
        _write(path, text)
        found = head_config.read_config(path, {})
        _write(path, head_config.as_toml(found))
        assert head_config.read_config(path, {}) == found

    campaign(
        lambda text: tried(lambda: work(text), head_config.ConfigError),
        toml_files([HEAD], keys),
        examples=40,
    )


def test_f59_any_file_configures_an_agent_or_is_refused_by_name(
    tmp_path: Path,
) -> None:
    path = tmp_path / "agent.toml"

    def work(text: str) -> None:
        _write(path, text)
        found = agent_config.read_file(path)
        config = agent_config.build(found, host_name="h.x", version="1")
        agent_config.site_variables(config)

    campaign(
        lambda text: tried(lambda: work(text), agent_config.ConfigError),
        toml_files([AGENT], [*agent_config.KEYS, "nope"]),
        examples=40,
    )


@pytest.mark.parametrize("name", ["nope", "Cluster", "", "a.b"])
def test_a_key_that_is_not_known_is_refused_by_its_name(
    name: str, tmp_path: Path
) -> None:
    path = tmp_path / "some.toml"
    for key in (name, "cluster", "dir"):
        assert tomllib.loads(f'"{key}" = 1') == {key: 1}
    _write(path, f'"{name}" = 1')
    with pytest.raises(agent_config.ConfigError, match=f"{name}: no such setting"):
        agent_config.read_file(path)
    with pytest.raises(head_config.ConfigError, match=f"{name}: no such table"):
        head_config.read_config(path, {})
    _write(path, f'[cluster]\n"{name}" = 1')
    with pytest.raises(head_config.ConfigError, match=f"{name}: no such setting"):
        head_config.read_config(path, {})
