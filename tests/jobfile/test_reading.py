"""Files as the reference's own programs write them, and as people do."""

from __future__ import annotations

import pytest

from hpcsched.api.v1 import job_pb2, task_pb2
from hpcsched.common.errors import HpcError
from hpcsched.jobfile.problems import JobFileError
from hpcsched.jobfile.reading import JobFile, read_xml

V2 = "http://schemas.microsoft.com/HPCS2008R2/scheduler/"
V1 = "http://www.microsoft.com/ComputeCluster/"

EXPORTED = f"""\ufeff<?xml version="1.0" encoding="utf-8"?>
<Job Version="3.000" Id="7" Name="render" UnitType="Core" Project="film"
     State="Failed" PreviousState="Running" Priority="AboveNormal"
     ExpandedPriority="3000" CreateTime="3/4/2011 10:11:12 AM" RuntimeSeconds="3600"
     MinCores="2" MaxCores="16" MinNodes="1" MaxNodes="1" MinSockets="1" MaxSockets="1"
     AutoCalculateMin="False" AutoCalculateMax="TRUE" RunUntilCanceled="false"
     IsExclusive="true" FailOnTaskFailure="1" Preemptable="0" RequestedNodes="n1;n2"
     ExcludedNodes="n3" JobValidExitCodes="0,3..5" ErrorCode="-2147218980"
     ErrorMessage="exited with code 1" NextTaskNiceID="4" HasGrown="false"
     ComputedNodeList="n1,n2" TotalCpuTime="12" xmlns="{V2}">
  <Dependencies>
    <Parent GroupId="11">
      <Child GroupId="12" />
    </Parent>
    <Parent GroupId="12">
      <Child GroupId="13" />
    </Parent>
  </Dependencies>
  <EnvironmentVariables>
    <Variable><Name>SCENE</Name><Value>castle &amp; moat</Value></Variable>
    <Variable><Name>EMPTY</Name><Value /></Variable>
  </EnvironmentVariables>
  <CustomProperties>
    <Term><Name>owner</Name><Value>lighting</Value></Term>
  </CustomProperties>
  <Tasks>
    <Task Version="3.000" NiceId="1" GroupId="11" UnitType="Core" State="Finished"
          CommandLine="fetch.sh" MinCores="1" MaxCores="1" StartValue="0" EndValue="0"
          IncrementValue="1" IsParametric="false" Type="Basic" IsRerunnable="true"
          WorkDirectory="/scenes" ExitCode="0" Output="done" />
    <Task NiceId="2" GroupId="12" Name="frame" CommandLine="render -f ****"
          StartValue="1" EndValue="100" IncrementValue="3" IsParametric="true"
          MinCores="4" MaxCores="8" RuntimeSeconds="600" FailJobOnFailure="true"
          FailJobOnFailureCount="5" StdOutFilePath="out\\*.txt">
      <EnvironmentVariables>
        <Variable><Name>QUALITY</Name><Value>high</Value></Variable>
      </EnvironmentVariables>
    </Task>
    <Task NiceId="3" GroupId="13" CommandLine="join.sh" IsRerunnable="false"
          TaskValidExitCodes="0..1" />
  </Tasks>
</Job>
"""


def read(text: str) -> JobFile:
    return read_xml(text.encode())


def job(attributes: str = "", inside: str = "", space: str = V2) -> JobFile:
    return read(f'<Job xmlns="{space}" {attributes}>{inside}</Job>')


def task(attributes: str, inside: str = "", space: str = V2) -> task_pb2.TaskSpec:
    found = job("", f"<Tasks><Task {attributes}>{inside}</Task></Tasks>", space)
    return found.spec.tasks[0]


def test_an_exported_job_of_the_reference_comes_with_all_that_an_import_applies() -> (
    None
):
    file = read(EXPORTED)

    spec = file.spec
    assert (spec.name, spec.project, spec.priority) == ("render", "film", 3000)
    assert spec.runtime.seconds == 3600
    assert (spec.min_cores, spec.max_cores) == (2, 16)
    assert (spec.auto_calculate_min, spec.auto_calculate_max) == (False, True)
    assert spec.unit_type == job_pb2.UNIT_TYPE_CORE
    assert not spec.HasField("min_nodes"), "of another unit"
    assert (spec.is_exclusive, spec.fail_on_task_failure) == (True, True)
    assert (spec.run_until_canceled, spec.can_preempt) == (False, False)
    assert list(spec.requested_nodes) == ["n1", "n2"]
    assert list(spec.excluded_nodes) == ["n3"]
    assert spec.valid_exit_codes == "0,3..5"
    assert dict(spec.environment) == {"SCENE": "castle & moat", "EMPTY": ""}
    assert dict(spec.custom_properties) == {"owner": "lighting"}
    first, sweep, last = spec.tasks
    assert (first.command_line, first.work_directory) == ("fetch.sh", "/scenes")
    assert (first.type, first.end_value) == (task_pb2.TASK_TYPE_BASIC, 0)
    assert sweep.type == task_pb2.TASK_TYPE_PARAMETRIC_SWEEP
    assert (sweep.start_value, sweep.end_value, sweep.increment_value) == (1, 100, 3)
    assert (sweep.min_cores, sweep.max_cores, sweep.runtime.seconds) == (4, 8, 600)
    assert (sweep.fail_job_on_failure, sweep.fail_job_on_failure_count) == (True, 5)
    assert dict(sweep.environment) == {"QUALITY": "high"}
    assert (last.is_rerunnable, last.valid_exit_codes) == (False, "0..1")
    assert file.nice_ids == (1, 2, 3)


def test_groups_become_dependencies_by_name_and_nameless_tasks_get_one() -> None:
    first, sweep, last = read(EXPORTED).spec.tasks

    assert (first.name, sweep.name, last.name) == ("group11", "frame", "group13")
    assert not first.depends_on
    assert list(sweep.depends_on) == ["group11"]
    assert list(last.depends_on) == ["frame"]


def test_a_name_of_several_groups_is_no_name_of_one_of_them() -> None:
    tasks = "".join(
        f'<Task Name="same" GroupId="{group}" CommandLine="x" />' for group in (1, 2, 3)
    )
    waits = '<Parent GroupId="1"><Child GroupId="3"/></Parent>'

    with pytest.raises(JobFileError, match="several groups are called 'same'"):
        job("", f"<Dependencies>{waits}</Dependencies><Tasks>{tasks}</Tasks>")


def test_a_made_up_name_is_never_one_that_there_is() -> None:
    tasks = (
        '<Task GroupId="1" CommandLine="x"/><Task GroupId="2" CommandLine="x"/>'
        '<Task Name="group1" CommandLine="x"/>'
    )
    waits = '<Parent GroupId="1"><Child GroupId="2"/></Parent>'

    file = job("", f"<Dependencies>{waits}</Dependencies><Tasks>{tasks}</Tasks>")

    assert [t.name for t in file.spec.tasks] == ["group1-2", "group2", "group1"]
    assert list(file.spec.tasks[1].depends_on) == ["group1-2"]


def test_a_file_of_the_first_generation_reads_the_same() -> None:
    file = read(
        f"""<Job xmlns="{V1}" Name="old" Priority="Lowest" Runtime="01:02:03"
             MinimumNumberOfProcessors="2" MaximumNumberOfProcessors="8"
             AskedNodes="a, b" User="DOM\\ann" SubmittedBy="DOM\\bob" Status="Queued"
             Id="4" IsBackfill="false" AllocatedNodes="a,b" SoftwareLicense="fluent:2">
          <ExtendedTerms>
            <Term><Name>cost</Name><Value>7</Value></Term>
          </ExtendedTerms>
          <Tasks>
            <Task Name="one" CommandLine="x" Stdin="i" Stdout="o" Stderr="e"
                  MinimumNumberOfProcessors="1" Runtime="Infinite" Id="1" />
            <Task Name="two" CommandLine="y" Depend="one" RequiredNodes="a,b"
                  Runtime="00:90" />
          </Tasks>
        </Job>"""
    )

    spec = file.spec
    assert (spec.name, spec.priority, spec.user_name) == ("old", 0, "DOM\\ann")
    assert spec.runtime.seconds == 86400 + 2 * 3600 + 3 * 60
    assert (spec.min_cores, spec.max_cores) == (2, 8)
    assert list(spec.requested_nodes) == ["a", "b"]
    assert dict(spec.custom_properties) == {"cost": "7"}
    one, two = spec.tasks
    assert (one.stdin_path, one.stdout_path, one.stderr_path) == ("i", "o", "e")
    assert not one.HasField("runtime")
    assert (list(two.depends_on), two.runtime.seconds) == (["one"], 5400)
    assert list(two.required_nodes) == ["a", "b"]


@pytest.mark.parametrize("unit", ["Core", "Socket", "Node"])
def test_only_sizes_of_the_jobs_unit_are_taken(unit: str) -> None:
    sizes = " ".join(
        f'Min{name}="2" Max{name}="4"' for name in ("Cores", "Sockets", "Nodes")
    )
    inside = f'<Tasks><Task CommandLine="x" {sizes} /></Tasks>'

    spec = job(f'UnitType="{unit}" {sizes}', inside).spec

    field = f"{unit.lower()}s"
    task = spec.tasks[0]
    for name in ("cores", "sockets", "nodes"):
        assert spec.HasField(f"min_{name}") == (name == field)  # type: ignore[arg-type]
        assert getattr(task, f"max_{name}") == (4 if name == field else 0)


def test_what_a_file_gives_is_given_be_it_the_built_in_value() -> None:
    spec = job(
        'Name="n" Priority="Normal" IsExclusive="false" RuntimeSeconds="0" '
        'JobValidExitCodes="0" RunUntilCanceled="true" Project="" SingleNode="0"'
    ).spec

    given = {"priority", "is_exclusive", "runtime", "valid_exit_codes", "single_node"}
    assert set(spec.explicit) == given


def test_resources_and_policy_have_the_references_names() -> None:
    spec = job(
        'SingleNode="true" MinMemory="512" MaxMemory="4096" MinCoresPerNode="2" '
        'MaxCoresPerNode="8" EstimatedProcessMemory="100" OrderBy="-Memory" '
        'NodeGroups="fast;big" NodeGroupOp="Union" TargetResourceCount="3"'
    ).spec

    assert (spec.single_node, spec.order_by) == (True, "-Memory")
    assert (spec.min_memory, spec.max_memory) == (512, 4096)
    assert (spec.min_cores_per_node, spec.max_cores_per_node) == (2, 8)
    assert list(spec.node_groups) == ["fast", "big"]
    assert spec.node_group_op == job_pb2.NODE_GROUP_OP_UNION
    assert (spec.estimated_process_memory, spec.target_resource_count) == (100, 3)


@pytest.mark.parametrize(
    ("attributes", "priority", "warned"),
    [
        ('Priority="highest"', 4000, False),
        ('Priority="Normal+100"', 2100, False),
        ('Priority="1234"', 1234, False),
        ('ExpandedPriority="2100"', 2100, False),
        ('Priority="Normal" ExpandedPriority="2100"', 2100, False),
        ('Priority="Highest" ExpandedPriority="2000"', 2000, True),
    ],
)
def test_priorities_have_names_and_numbers(
    attributes: str, priority: int, *, warned: bool
) -> None:
    file = job(attributes)

    assert file.spec.priority == priority
    assert bool(file.warnings) is warned


def test_names_are_known_in_any_case_and_unknown_ones_are_told() -> None:
    file = job(
        'NAME="a" project="b" OrderOfThings="1" xsi:schemaLocation="x" '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"',
        "<Odd/>",
    )

    assert (file.spec.name, file.spec.project) == ("a", "b")
    assert len(file.warnings) == 2
    assert "line 1: Job: OrderOfThings is not known here" in file.warnings[0]
    assert "Odd" in file.warnings[1]


def test_what_the_reference_writes_for_every_task_means_nothing_for_preparation() -> (
    None
):
    found = task(
        'Type="NodePrep" CommandLine="x" MinCores="1" MaxCores="1" '
        'IsRerunnable="false" FailJobOnFailure="false" FailJobOnFailureCount="1"'
    )

    assert found == task_pb2.TaskSpec(
        type=task_pb2.TASK_TYPE_NODE_PREP, command_line="x"
    )


def test_a_sweep_by_its_older_name_is_one() -> None:
    found = task('CommandLine="x" IsParametric="TRUE" EndValue="3"')

    assert found.type == task_pb2.TASK_TYPE_PARAMETRIC_SWEEP


@pytest.mark.parametrize(
    ("length", "refused"), [(480, False), (481, True)], ids=["at", "over"]
)
def test_the_references_limit_of_a_command_holds_in_its_files(
    length: int, *, refused: bool
) -> None:
    def make() -> task_pb2.TaskSpec:
        return task(f'CommandLine="{"x" * length}"')

    if not refused:
        assert len(make().command_line) == length
        return
    with pytest.raises(HpcError, match="CommandLine has 481 characters") as caught:
        make()
    assert caught.value.reason == "TEXT_TOO_LONG"


def test_the_references_limit_of_an_environment_counts_names_and_values() -> None:
    pairs = "<Name>abcd</Name><Value>{}</Value>"

    def variables(length: int) -> str:
        inside = pairs.format("v" * (length - 4))
        inside = f"<Variable>{inside}</Variable>"
        return f"<EnvironmentVariables>{inside}</EnvironmentVariables>"

    assert len(task('CommandLine="x"', variables(2048)).environment) == 1
    with pytest.raises(HpcError, match="2049 characters; the limit is 2048"):
        task('CommandLine="x"', variables(2049))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "no element found"),
        ("<Job", "unclosed token"),
        ("<Job/>", "the root is 'Job' of namespace ''"),
        (f'<Task xmlns="{V2}"/>', "the root is 'Task'"),
        (f'<Job xmlns="{V2}" Version="4.0"/>', "Version '4.0'"),
        (f'<Job xmlns="{V2}" IsExclusive="maybe"/>', "Job: IsExclusive: 'maybe'"),
        (f'<Job xmlns="{V2}" RuntimeSeconds="-1"/>', "Job: RuntimeSeconds: '-1'"),
        (f'<Job xmlns="{V2}" Priority="Urgent"/>', "'Urgent' is not one of Lowest"),
        (f'<Job xmlns="{V2}" MinCores="9999999999"/>', "out of range"),
        (
            f'<Job xmlns="{V2}">\n<Tasks>\n<Task Type="Odd"/></Tasks></Job>',
            "line 3: Task: Type: 'Odd' is not one of Basic, ParametricSweep",
        ),
        (
            f'<Job xmlns="{V2}"><Dependencies><Parent/></Dependencies></Job>',
            "Parent has no GroupId",
        ),
        (f'<Job xmlns="{V1}" Runtime="1:2:3:4"/>', "dd:hh:mm"),
        (f'<?xml version="1.0" encoding="nonsense"?><Job xmlns="{V2}"/>', "encoding"),
    ],
)
def test_a_malformed_file_is_refused_with_the_place(text: str, problem: str) -> None:
    with pytest.raises(JobFileError, match=problem.replace("(", r"\(")):
        read(text)


LAUGHS = """<!DOCTYPE Job [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">
<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>"""


@pytest.mark.parametrize(
    ("before", "inside", "problem"),
    [
        (LAUGHS, "&c;", "document type"),
        ('<!DOCTYPE Job SYSTEM "file:///etc/passwd">', "", "document type"),
        (
            '<!DOCTYPE Job [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
            "<Tasks>&x;</Tasks>",
            "document type",
        ),
        ("", "&secret;", "undefined entity"),
        ("", "<a>" * 20 + "</a>" * 20, "nested deeper than 16"),
    ],
    ids=["laughs", "external type", "external entity", "entity", "depth"],
)
def test_a_hostile_file_is_refused_and_opens_nothing(
    before: str, inside: str, problem: str
) -> None:
    with pytest.raises(JobFileError, match=problem):
        read(f'{before}<Job xmlns="{V2}">{inside}</Job>')


def test_a_file_that_is_too_large_is_not_parsed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("hpcsched.jobfile.elements.LARGEST", 100)

    with pytest.raises(JobFileError, match="101 bytes; the limit is 100"):
        read_xml(b"<" * 101)


def test_too_many_elements_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hpcsched.jobfile.elements.MOST_ELEMENTS", 3)

    with pytest.raises(JobFileError, match="more than 3 elements"):
        job("", "<a/><b/><c/>")


def test_other_encodings_are_read() -> None:
    text = f'<?xml version="1.0" encoding="utf-16"?><Job xmlns="{V2}" Name="é"/>'

    assert read_xml(text.encode("utf-16")).spec == job_pb2.JobSpec(name="é")
