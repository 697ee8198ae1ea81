from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from protos.build_hook import ProtocError, ProtosHook, generate

if TYPE_CHECKING:
    from pathlib import Path

PROTO = """
syntax = "proto3";
package hpcsched.api.v1;
// A thing.
message Thing { int32 size = 1; }
// Things.
service ThingService { rpc Get(Thing) returns (stream Thing); }
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "protos/hpcsched/api/v1").mkdir(parents=True)
    (tmp_path / "hpcsched/api/v1").mkdir(parents=True)
    return tmp_path


@pytest.fixture
def proto(checkout: Path) -> Path:
    path = checkout / "protos/hpcsched/api/v1/thing.proto"
    path.write_text(PROTO)
    return path


def generated(checkout: Path) -> set[str]:
    return {path.name for path in (checkout / "hpcsched/api/v1").iterdir()}


def test_each_proto_becomes_modules_and_types_beside_its_package(
    checkout: Path, proto: Path
) -> None:
    assert generate(checkout) == [proto]

    assert generated(checkout) == {
        "thing_pb2.py",
        "thing_pb2.pyi",
        "thing_pb2_grpc.py",
        "thing_pb2_grpc.pyi",
    }
    stubs = (checkout / "hpcsched/api/v1/thing_pb2_grpc.pyi").read_text()
    assert "UnaryStreamMultiCallable[_thing_pb2.Thing, _thing_pb2.Thing]" in stubs


def test_a_checkout_without_protos_is_no_error(checkout: Path) -> None:
    assert generate(checkout) == []


def test_modules_of_a_proto_that_is_gone_are_deleted_and_nothing_else(
    checkout: Path, proto: Path
) -> None:
    generate(checkout)
    by_hand = checkout / "hpcsched/api/v1/__init__.py"
    by_hand.touch()
    proto.unlink()

    generate(checkout)

    assert generated(checkout) == {"__init__.py"}


def test_a_proto_with_an_error_fails_the_build(
    checkout: Path, proto: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    proto.write_text(PROTO.replace("int32", "int33"))

    with pytest.raises(ProtocError, match="1 protos"):
        generate(checkout)
    assert "int33" in capfd.readouterr().err


def test_files_of_systemd_become_data_of_the_wheel_where_it_looks_for_them(
    checkout: Path,
) -> None:
    units = checkout / "systemd"
    (units / "sysusers.d").mkdir(parents=True)
    for name in ("hpcschedd.service", "README.md", "sysusers.d/hpcsched.conf"):
        (units / name).touch()
    unused: Any = None
    hook = ProtosHook(str(checkout), {}, unused, unused, "", "wheel")
    build_data: dict[str, dict[str, str]] = {"shared_data": {}}

    hook.initialize("standard", build_data)

    assert build_data["shared_data"] == {
        str(units / "hpcschedd.service"): "lib/systemd/system/hpcschedd.service",
        str(units / "sysusers.d/hpcsched.conf"): "lib/sysusers.d/hpcsched.conf",
    }
