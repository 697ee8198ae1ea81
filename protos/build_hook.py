"""Generates the Python modules of the protos, at build time and for ``make protos``.

``protos/hpcsched/api/v1/job.proto`` has ``package hpcsched.api.v1`` and becomes
``hpcsched/api/v1/job_pb2.py``: path, proto package and Python package agree, so that
protoc's absolute imports are right and nothing has to be rewritten. mypy-protobuf adds
the types. Nothing that is generated here is committed.
"""

from __future__ import annotations

import sys
from importlib import metadata, resources
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SUFFIXES = ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py", "_pb2_grpc.pyi")

#: Where the files of systemd/ belong under the installation's prefix, by suffix. The
#: folders sysusers.d and tmpfiles.d keep their names.
UNIT_SUFFIXES = (".service", ".socket", ".target", ".slice", ".timer")


class ProtocError(RuntimeError):
    """protoc refused the protos; what it said is on stderr."""


def generate(root: Path) -> list[Path]:
    """Run protoc over each proto of the checkout.

    Args:
        root: The checkout: protos are read from ``root/protos/hpcsched``, modules are
            written below ``root/hpcsched``. What an earlier run left for a proto that
            is gone is deleted.

    Returns:
        The protos, sorted; none is no error.

    Raises:
        ProtocError: protoc failed.
    """
    tree = root / "protos"
    protos = sorted((tree / "hpcsched").rglob("*.proto"))
    if protos:
        _run_protoc(root, tree, protos)
    expected = {
        root / proto.relative_to(tree).with_name(proto.stem + suffix)
        for proto in protos
        for suffix in SUFFIXES
    }
    for package in ("api", "agent"):
        for found in (root / "hpcsched" / package).rglob("*_pb2*.py*"):
            if found.suffix in {".py", ".pyi"} and found not in expected:
                found.unlink()
    return protos


def _run_protoc(root: Path, tree: Path, protos: list[Path]) -> None:
    from grpc_tools import protoc

    arguments = [
        "protoc",
        f"--plugin=protoc-gen-mypy={_plugin('protoc-gen-mypy')}",
        f"--plugin=protoc-gen-mypy_grpc={_plugin('protoc-gen-mypy_grpc')}",
        f"--proto_path={tree}",
        f"--proto_path={resources.files('grpc_tools') / '_proto'}",
        f"--python_out={root}",
        f"--grpc_python_out={root}",
        f"--mypy_out=quiet:{root}",
        f"--mypy_grpc_out=only_async,quiet:{root}",
        *(str(proto) for proto in protos),
    ]
    if protoc.main(arguments) != 0:
        raise ProtocError(f"protoc failed on {len(protos)} protos in {tree}")


def _plugin(name: str) -> Path:
    """Return the path of a script of mypy-protobuf, wherever pip has put it.

    An isolated build keeps it outside the interpreter's own bin, and ``make protos``
    runs without an activated environment, so PATH is of no use.
    """
    for file in metadata.files("mypy-protobuf") or ():
        if file.name == name:
            return Path(str(file.locate())).resolve()
    raise ProtocError(f"mypy-protobuf is installed without its script {name}")


def _systemd_files(root: Path) -> dict[str, str]:
    """Return where each file of systemd/ goes below the installation's prefix."""
    placed: dict[str, str] = {}
    for file in sorted((root / "systemd").rglob("*")):
        if file.suffix in UNIT_SUFFIXES:
            placed[str(file)] = f"lib/systemd/system/{file.name}"
        elif file.suffix == ".conf" and file.parent.name in {
            "sysusers.d",
            "tmpfiles.d",
        }:
            placed[str(file)] = f"lib/{file.parent.name}/{file.name}"
        elif file.parent.name == "examples":
            placed[str(file)] = f"share/hpcsched/{file.name}"
    return placed


class ProtosHook(BuildHookInterface[Any]):
    """Called by hatchling before it packs a wheel, an editable one too."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        root = Path(self.root)
        generate(root)
        build_data["shared_data"].update(_systemd_files(root))


if __name__ == "__main__":
    print(
        f"{len(generate(Path(__file__).resolve().parent.parent))} protos",
        file=sys.stderr,
    )
