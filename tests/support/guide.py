"""What the guides tell people to type, so that tests can do just that."""

from __future__ import annotations

import re
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
