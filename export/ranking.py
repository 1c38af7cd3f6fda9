"""The search for a precision as a picture: which layers are sensitive, and what each try cost."""

import io
from pathlib import Path
from typing import Any, Sequence, Union

import numpy as np

from ..calibration.sensitivity import Sensitivity
from ..core import MissingDependency
from ..runtime.files import write_whole
from .attempts import Attempt, Choice

SHOWN = 32
"""Layers that are drawn, the most sensitive ones."""

INT8, FLOAT, BAD = "#4878a8", "#e08a2e", "#b0b0b0"


def draw_choice(choice: Choice, path: Union[str, Path]) -> None:
    """Draw the sensitivity of the layers beside the attempts, as a PNG.

    Args:
        choice: What `within_budget` found.
        path: The picture to write.

    Raises:
        StorageError: It cannot be written.
        MissingDependency: matplotlib is not installed.
    """
    figures, canvas = load_figure()
    layers = choice.sensitivity[:SHOWN]
    figure = figures.Figure(figsize=(13, 1.6 + 0.22 * max(len(layers), 12)), layout="constrained")
    canvas(figure)
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    _layers(left, layers, len(choice.sensitivity), choice.shipped)
    _attempts(right, choice)
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=100)
    write_whole(Path(path), content.getvalue())


def load_figure() -> Any:
    """matplotlib's figures, and the canvas that draws without a screen.

    Raises:
        MissingDependency: It is not installed.
    """
    try:
        from matplotlib import figure
        from matplotlib.backends.backend_agg import FigureCanvasAgg
    except ImportError as error:
        raise MissingDependency(
            "matplotlib is not installed, and it draws the ranking",
            got=str(error),
            remedy="run: pip install 'edgelane[bench]'",
        ) from None
    return figure, FigureCanvasAgg


def _layers(axes: Any, layers: Sequence[Sensitivity], total: int, shipped: Attempt) -> None:
    axes.set_title(
        f"What each layer alone in float would save, {len(layers)} of {total}", fontsize=10
    )
    if not layers:
        axes.axis("off")
        axes.text(0.5, 0.5, "not measured: INT8 was enough", ha="center", transform=axes.transAxes)
        return
    floats = set(shipped.floats)
    errors = np.array([s.error for s in layers])
    rows = np.arange(len(layers))
    colours = [FLOAT if s.layer in floats else INT8 for s in layers]
    axes.barh(rows, errors, color=colours)
    for row, layer in zip(rows, layers):
        axes.text(
            errors[row] + 0.01 * errors.max(),
            row,
            f"{100 * layer.share:.1f} %",
            va="center",
            fontsize=7,
        )
    names = [f"{s.node or s.layer} ({s.kind})" for s in layers]
    axes.set_yticks(rows, [n if len(n) < 45 else "…" + n[-44:] for n in names], fontsize=7)
    axes.invert_yaxis()
    axes.margins(x=0.15)
    axes.set_xlabel("fall of the error of the outputs (labels: share of the multiply-adds)")
    for colour, label in ((FLOAT, "kept float"), (INT8, "INT8")):
        axes.barh([0], [0], color=colour, label=label)
    axes.legend(loc="lower right", fontsize=8)


def _attempts(axes: Any, choice: Choice) -> None:
    notes = choice.card.extra["budget"]
    axes.set_title(f"Points of {notes['metric']} lost, and the 95 % interval", fontsize=10)
    made = [a for a in choice.attempts if a.drop is not None]
    rows = np.arange(len(made))
    for row, attempt in zip(rows, made):
        colour = FLOAT if attempt is choice.shipped else (INT8 if attempt.within else BAD)
        low, high = attempt.low or 0.0, attempt.high or 0.0
        axes.plot([low, high], [row, row], color=colour, linewidth=2)
        axes.plot([attempt.drop], [row], "o", color=colour)
    axes.axvline(notes["max_drop"], color="#c03030", linestyle="--", linewidth=1)
    axes.axvline(0, color="#808080", linewidth=0.8)
    names = []
    for attempt in made:
        floats = f", {len(attempt.floats)} float" if attempt.floats else ""
        names.append(
            f"{attempt.precision}{floats}" + (" (shipped)" if attempt is choice.shipped else "")
        )
    axes.set_yticks(rows, names, fontsize=8)
    axes.set_ylim(len(made) - 0.5, -0.5)
    axes.set_xlabel(f"points; dashed: the budget of {notes['max_drop']:g}")
