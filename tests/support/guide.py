"""What the guides tell people to type, so that tests can do just that."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_PROMPTS = ("# ", "$ ")


def blocks(guide: Path, section: str, language: str) -> list[str]:
    """Return the fenced blocks of a language in a section.

    Args:
        guide: A Markdown file.
        section: How the section's title begins, such as ``3.``.
        language: As it stands behind the fence.

    Raises:
        LookupError: there is no such section, or no such block in it.
    """
    parts = re.split(r"^## ", guide.read_text(encoding="utf-8"), flags=re.MULTILINE)
    found = [part for part in parts[1:] if part.startswith(section)]
    if len(found) != 1:
        raise LookupError(f"{guide.name}: {len(found)} sections begin with {section!r}")
    fenced = rf"^```{re.escape(language)}\n(.*?)^```"
    texts = re.findall(fenced, found[0], flags=re.MULTILINE | re.DOTALL)
    if not texts:
        raise LookupError(f"{guide.name}: {section} has no block of {language}")
    return [str(text) for text in texts]


def commands(guide: Path, section: str) -> list[str]:
    """Return the command lines of a section; what they print is left out."""
    lines: list[str] = []
    for block in blocks(guide, section, "console"):
        continued = False
        for line in block.splitlines():
            if continued:
                lines[-1] += "\n" + line
            elif line.startswith(_PROMPTS):
                lines.append(line[2:])
            else:
                continue
            continued = line.endswith("\\")
    return lines


@dataclass(slots=True)
class Step:
    """A command, and what the page shows that it prints."""

    command: str
    shown: list[str] = field(default_factory=list)

    @property
    def is_refused(self) -> bool:
        """Does the page show that it fails?"""
        return any(line.startswith("hpc: ") for line in self.shown)


def session(guide: Path) -> list[Step]:
    """Return what a page types, in order; here-documents belong to their command."""
    text = guide.read_text(encoding="utf-8")
    steps: list[Step] = []
    for block in re.findall(r"^```console\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        until = ""
        continued = False
        for line in block.splitlines():
            if until or continued:
                steps[-1].command += "\n" + line
                if until:
                    until = "" if line == until else until
                    continue
            elif line.startswith("$ "):
                steps.append(Step(line[2:]))
            else:
                steps[-1].shown.append(line)
                continue
            continued = line.endswith("\\")
            if found := re.search(r"<<'?(\w+)'?", line):
                until = found[1]
    return steps
