"""The project's own sources, as the house rules read them."""

from __future__ import annotations

import ast
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent.parent
PRODUCT = ("hpcsched", "node_agent")
TREES = (*PRODUCT, "bench", "protos", "scripts", "tests")
GENERATED = "*_pb2*.py"


def sources(*trees: str) -> list[Path]:
    """All hand-written Python files below the trees."""
    return [
        path
        for tree in trees
        for path in sorted((ROOT / tree).rglob("*.py"))
        if not path.match(GENERATED)
    ]


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def dotted(node: ast.expr) -> str:
    """Return ``a.b.c`` for such an expression; empty for any other."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return ""
    return ".".join([node.id, *reversed(parts)])


def names_used(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield (line, dotted name) for each name, with ``from a import b`` as ``a.b``."""
    imported: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                imported[alias.asname or alias.name] = f"{node.module}.{alias.name}"
        elif isinstance(node, ast.Import):
            for alias in node.names:
                imported[alias.asname or alias.name] = alias.name
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute) and (name := dotted(node)):
            head, dot, rest = name.partition(".")
            yield node.lineno, imported.get(head, head) + dot + rest


def uses(path: Path, banned: set[str]) -> list[str]:
    tree = ast.parse(path.read_text())
    return [
        f"{name_of(path)}:{line}: {name}"
        for line, name in names_used(tree)
        if name in banned
    ]


def modules_imported(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


def tracked_texts() -> Iterator[tuple[str, str]]:
    """Yield (name, text) of each file that is or would be committed."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    names = listing.stdout.splitlines() if listing.returncode == 0 else []
    if not names:  # an unpacked source distribution
        names = [name_of(path) for path in sources(*TREES)]
    for name in names:
        path = ROOT / name
        if path.is_file():
            try:
                yield name, path.read_text()
            except UnicodeDecodeError:
                continue
