"""The rules that no linter knows: each with its reason."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

from tests.support.sources import (
    PRODUCT,
    TREES,
    modules_imported,
    name_of,
    sources,
    tracked_texts,
    uses,
)

HERE = {name_of(Path(__file__))}
SUPERVISOR = "node_agent/supervisor/"

#: Where a call that is banned elsewhere belongs.
TIME_SEAMS = ("hpcsched/common/clock.py", "node_agent/supervisor/clock.py")
CHANCE_SEAMS = ("hpcsched/common/rng.py",)
POLLING = "tests/support/polling.py"

BANNED = {
    "asyncio.create_task": "start tasks in a TaskGroup, so that none is orphaned",
    "asyncio.ensure_future": "start tasks in a TaskGroup, so that none is orphaned",
    "asyncio.gather": "use a TaskGroup: gather leaves siblings running on failure",
    "eval": "nothing that another process wrote is ever code",
    "exec": "nothing that another process wrote is ever code",
    "pickle.loads": "nothing that another process wrote is ever code",
    "marshal.loads": "nothing that another process wrote is ever code",
    "yaml.load": "nothing that another process wrote is ever code",
}
TIMES = {
    "asyncio.sleep",
    "datetime.datetime.now",
    "datetime.datetime.utcnow",
    "datetime.now",
    "datetime.utcnow",
    "time.monotonic",
    "time.monotonic_ns",
    "time.time",
    "time.time_ns",
}
CHANCE = {"os.urandom", "uuid.uuid1", "uuid.uuid4"}
CHANCE_MODULES = {"random", "secrets"}
FORKS = {"os.fork", "os.forkpty", "pty.fork"}
SLEEPS = {"time.sleep", "asyncio.sleep"}


def test_no_file_is_longer_than_400_lines() -> None:
    long = {
        name_of(path): lines
        for path in sources(*TREES)
        if (lines := len(path.read_text().splitlines())) > 400
    }

    assert not long, "which noun would move out?"


def test_every_file_postpones_its_annotations() -> None:
    line = "from __future__ import annotations\n"

    assert not [name_of(p) for p in sources(*TREES) if line not in p.read_text()]


def test_every_module_of_the_product_says_what_it_is() -> None:
    silent = [
        name_of(path)
        for path in sources(*PRODUCT)
        if not ast.get_docstring(ast.parse(path.read_text()))
    ]

    assert not silent


def test_every_folder_of_the_product_with_modules_is_a_package() -> None:
    folders = {path.parent for path in sources(*PRODUCT)}

    assert not [name_of(f) for f in folders if not (f / "__init__.py").exists()]


def test_no_module_has_a_name_that_could_hold_anything() -> None:
    vague = {"utils", "util", "helpers", "helper", "misc", "types", "constants"}

    assert not [name_of(p) for p in sources(*TREES) if p.stem in vague]


def test_banned_calls_do_not_occur() -> None:
    found = [hit for path in sources(*PRODUCT) for hit in uses(path, set(BANNED))]

    assert not found, {hit: BANNED[hit.rpartition(" ")[2]] for hit in found}


def test_only_the_clocks_ask_the_machine_for_the_time() -> None:
    found = [
        hit
        for path in sources(*PRODUCT)
        if name_of(path) not in TIME_SEAMS
        for hit in uses(path, TIMES)
    ]

    assert not found, "take a Clock; tests own the time"


def test_no_event_loop_is_blocked_by_a_sleep() -> None:
    found = [
        hit
        for path in sources(*PRODUCT)
        # The clock has it under a name of its own, for who has no loop.
        if not name_of(path).startswith((SUPERVISOR, "hpcsched/common/clock.py"))
        for hit in uses(path, {"time.sleep"})
    ]

    assert not found, "await Clock.sleep"


def test_only_the_id_source_asks_the_machine_for_chance() -> None:
    found = [
        name_of(path)
        for path in sources(*PRODUCT)
        if name_of(path) not in CHANCE_SEAMS
        and not name_of(path).startswith(SUPERVISOR)
        if uses(path, CHANCE) or modules_imported(path) & CHANCE_MODULES
    ]

    assert not found, "take an Ids; tests own chance"


def test_only_the_supervisor_forks() -> None:
    found = [
        hit
        for path in sources(*PRODUCT)
        if not name_of(path).startswith(SUPERVISOR)
        for hit in uses(path, FORKS)
    ]

    assert not found, "a process that has used gRPC must not fork"


def test_the_supervisor_imports_the_standard_library_only() -> None:
    allowed = sys.stdlib_module_names | {"node_agent"}
    foreign = {
        name_of(path): modules
        for path in sources("node_agent/supervisor")
        if (modules := modules_imported(path) - allowed)
    }

    assert not foreign, "small, quick to start, safe to fork"


def test_tests_wait_by_polling_or_by_a_clock_and_never_sleep() -> None:
    found = [
        hit
        for path in sources("tests")
        if not name_of(path).startswith("tests/support/")
        for hit in uses(path, SLEEPS)
    ]
    sleepers = {name_of(p) for p in sources("tests/support") if uses(p, {"time.sleep"})}

    assert not found, "use tests.support.polling or a ManualClock"
    assert sleepers <= {POLLING}


def test_every_test_file_has_tests_and_every_other_file_is_support() -> None:
    empty, misplaced = [], []
    for path in sources("tests"):
        name = name_of(path)
        has_tests = re.search(
            r"^\s*(async )?def test_|TestCase\b", path.read_text(), re.MULTILINE
        )
        if path.name.startswith("test_"):
            if not has_tests:
                empty.append(name)
        elif path.name != "conftest.py" and not name.startswith("tests/support/"):
            misplaced.append(name)

    assert not empty
    assert not misplaced, "helpers live in tests/support/"


def test_no_test_is_switched_off_for_good() -> None:
    pattern = re.compile(r"mark\.(skip|xfail)\b")

    assert not [
        name_of(p)
        for p in sources("tests")
        if name_of(p) not in HERE and pattern.search(p.read_text())
    ]


def test_nothing_names_a_path_of_a_development_machine() -> None:
    home = re.compile(r"(?<![\w/.])/(work|farm|root|home/(?!\$|USER|ada|user)\w+)/\w")

    found = [
        f"{name}: {match[0]}"
        for name, text in tracked_texts()
        if name not in HERE
        if (match := home.search(text))
    ]

    assert not found


def test_nothing_names_a_package_index() -> None:
    index = re.compile(r"--(extra-)?index-url|--find-links|/simple/|--trusted-host")

    assert not [
        name
        for name, text in tracked_texts()
        if name not in HERE and index.search(text)
    ]
