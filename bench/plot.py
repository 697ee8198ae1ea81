"""Figures as a picture, where matplotlib is installed (``make bench`` installs it)."""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from bench.figures import Figure

INK, MET, MISSED = "#22303c", "#2a7f62", "#c2571a"


def draw(figures: Sequence[Figure], machine: Mapping[str, Any], path: Path) -> bool:
    """Draw how near each goal is; return whether there is a library to do it."""
    if importlib.util.find_spec("matplotlib") is None:
        return False
    matplotlib: Any = importlib.import_module("matplotlib")
    matplotlib.use("Agg")
    pyplot: Any = importlib.import_module("matplotlib.pyplot")
    shown = [one for one in figures if one.score is not None][::-1]
    scores = [min(max(one.score or 0.0, 0.01), 100.0) for one in shown]
    names = [f"{one.key}  {one.what}" for one in shown]
    fig, axes = pyplot.subplots(figsize=(10, 0.8 + 0.32 * len(shown)))
    colors = [MET if score >= 1 else MISSED for score in scores]
    axes.barh(names, scores, color=colors, height=0.62)
    axes.set_xscale("log")
    axes.axvline(1.0, color=INK, linewidth=1)
    axes.set_xlabel("times the goal (1: reached; a logarithmic scale)", color=INK)
    for at, one in enumerate(shown):
        text = f" {one.ours:,.3g} {one.unit}".rstrip()
        axes.text(scores[at], at, text, va="center", fontsize=8, color=INK)
    axes.set_xlim(0.05, 300)
    axes.tick_params(axis="y", labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    told = ", ".join(f"{key} {value}" for key, value in machine.items())
    axes.set_title(told, fontsize=8, color=INK, loc="left")
    fig.tight_layout()
    fig.savefig(path, dpi=120)
    return True
