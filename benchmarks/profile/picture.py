"""The Pareto front as a picture: accuracy against time, and against energy where it is known."""

import io
from typing import Any, Dict, List, Optional, Sequence, Tuple

from ...core import DEVICES, MissingDependency
from .front import by_device
from .rows import place_of, title

COLOURS = ("#0064a8", "#b84a00", "#007a5a", "#6a3d9a", "#a1006b", "#5c5c00")
GREY = "#aab2bb"
MARKS = {"fp32": "o", "fp16": "s", "int8": "^"}
INK, SOFT = "#16202c", "#536171"

Row = Dict[str, Any]


def draw(rows: Sequence[Row]) -> Optional[bytes]:
    """A PNG with a panel for each device; None where nothing can be drawn.

    Measurements are filled marks, estimates hollow ones with their interval. What something else
    beats in both is grey.

    Args:
        rows: As `profile` gives them, with `front` marked.

    Raises:
        MissingDependency: matplotlib is not installed.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise MissingDependency(
            "matplotlib is not installed, and it draws the front",
            got=str(error),
            remedy="pip install 'edgelane[bench]'",
        ) from None
    matplotlib.use("Agg")
    from matplotlib import pyplot

    panels: List[Tuple[str, List[Row]]] = []
    for group in by_device(rows).values():
        judged = [r for r in group if r.get("accuracy") is not None]
        if not judged:
            continue
        panels.append(("ms", judged))
        if any(r.get("energy_mj") for r in judged):
            panels.append(("energy_mj", [r for r in judged if r.get("energy_mj")]))
    if not panels:
        return None
    across = min(len(panels), 2)
    down = (len(panels) + across - 1) // across
    figure, axes = pyplot.subplots(
        down, across, figsize=(7.2 * across, 4.9 * down), dpi=160, squeeze=False,
        constrained_layout=True,
    )  # fmt: skip
    try:
        models = list(dict.fromkeys(str(r["model"]) for _, group in panels for r in group))
        colours = {m: COLOURS[i % len(COLOURS)] for i, m in enumerate(models)}
        for axis, (cost, group) in zip(axes.flat, panels):
            _panel(axis, cost, group, colours)
        for axis in list(axes.flat)[len(panels) :]:
            axis.set_visible(False)
        out = io.BytesIO()
        figure.savefig(out, format="png", metadata={"Software": None})
        return out.getvalue()
    finally:
        pyplot.close(figure)


def _panel(axis: Any, cost: str, rows: List[Row], colours: Dict[str, str]) -> None:
    name = "front" if cost == "ms" else "energy_front"
    estimated = any(r["kind"] == "estimate" for r in rows)
    measured = any(r["kind"] == "measured" for r in rows)
    mixed = estimated and measured

    def at(row: Row) -> float:
        # Estimates know inference alone, so where both stand it is what both are drawn by.
        return float(row["infer_ms"] if mixed and cost == "ms" else row[cost])

    top = max(100 * r["accuracy"] for r in rows)
    for row in rows:
        good = bool(row.get(name))
        colour = colours[str(row["model"])] if good else GREY
        hollow = row["kind"] == "estimate"
        x, y = at(row), 100 * row["accuracy"]
        if cost == "ms" and row.get("high_ms") and (hollow or not mixed):
            reach = [[max(x - row["low_ms"], 0)], [max(row["high_ms"] - x, 0)]]
            axis.errorbar(x, y, xerr=reach, fmt="none", ecolor=colour, alpha=0.5, lw=1.2,
                          ls=":" if hollow else "-", capsize=2, zorder=1)  # fmt: skip
        axis.plot(x, y, MARKS.get(str(row.get("precision")), "D"), ms=8.5, mec=colour, mew=1.6,
                  mfc="white" if hollow else colour, zorder=3 if good else 2)  # fmt: skip
    for kind, style in (("measured", "-"), ("estimate", "--")):
        front = sorted((r for r in rows if r.get(name) and r["kind"] == kind), key=at)
        if len(front) > 1:
            axis.step([at(r) for r in front], [100 * r["accuracy"] for r in front],
                      where="post", color=SOFT, lw=1, ls=style, alpha=0.6, zorder=0)  # fmt: skip
    known = rows[0]["device"] in DEVICES
    where = place_of(rows[0], titled=True)
    where = where if known else str(rows[0].get("machine") or where)
    how = "measured and estimated" if mixed else ("estimated" if estimated else "measured")
    axis.set_title(f"{where}: {how}", loc="left", fontsize=11, color=INK, fontweight="bold")
    words = "inference" if estimated else "capture to event"
    axis.set_xlabel(f"{words}, ms" if cost == "ms" else "energy, mJ a frame", color=SOFT)
    axis.set_ylabel(f"{rows[0].get('metric')}, points", color=SOFT)
    values = [at(r) for r in rows]
    if max(values) > 4 * min(values):
        axis.set_xscale("log")
        from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

        axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.xaxis.set_major_formatter(ScalarFormatter())
        axis.xaxis.set_minor_formatter(NullFormatter())
    else:
        axis.set_xlim(left=0)
    axis.margins(x=0.18, y=0.16)
    axis.set_ylim(top=top + max(0.12 * (top - axis.get_ylim()[0]), 0.5))
    fitted = next((r["fitted_on"] for r in rows if r.get("fitted_on")), None)
    if fitted:
        axis.text(0.01, 0.015, f"estimates fitted on\n{fitted}", transform=axis.transAxes,
                  fontsize=7, color=SOFT, va="bottom")  # fmt: skip
    axis.grid(color="#dce1e7", lw=0.7)
    axis.set_axisbelow(True)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axis.spines[side].set_color(SOFT)
    axis.tick_params(colors=SOFT, labelsize=9)
    _legend(axis, rows, estimated, measured)
    _labels(axis, rows, name, at, colours)


def _labels(axis: Any, rows: List[Row], name: str, at: Any, colours: Dict[str, str]) -> None:
    """Names beside the marks, each where it covers least of what is there already."""
    figure = axis.figure
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    places = [axis.transData.transform((at(r), 100 * r["accuracy"])) for r in rows]
    step = figure.dpi / 72
    taken = [(x - 5 * step, y - 5 * step, x + 5 * step, y + 5 * step) for x, y in places]
    frame = axis.get_window_extent(renderer).bounds
    # Those on the front choose first.
    for index in sorted(range(len(rows)), key=lambda i: not rows[i].get(name)):
        row, (x, y) = rows[index], places[index]
        good = bool(row.get(name))
        text = axis.annotate(
            title(row), (at(row), 100 * row["accuracy"]), textcoords="offset points",
            xytext=(0, 0), fontsize=8.5, zorder=4,
            color=colours[str(row["model"])] if good else "#7a848f",
            fontweight="bold" if good else "normal",
        )  # fmt: skip
        extent = text.get_window_extent(renderer)
        width, height = extent.width, extent.height
        options = [(7, up) for up in (4, -12, 14, -22, 24, -32, 34)]
        options += [(-7 - width / step, up) for up in (4, -12, 14, -22)]
        best = min(options, key=lambda o: _covered(o, (x, y, width, height), step, taken, frame))
        text.set_position(best)
        left, low = x + best[0] * step, y + best[1] * step
        taken.append((left, low, left + width, low + height))


def _covered(
    offset: Tuple[float, float],
    text: Tuple[float, float, float, float],
    step: float,
    taken: Sequence[Tuple[float, float, float, float]],
    frame: Tuple[float, float, float, float],
) -> float:
    """What a text at this offset would cover, in square pixels; far ones cost a little."""
    left, low = text[0] + offset[0] * step, text[1] + offset[1] * step
    right, high = left + text[2], low + text[3]
    cost = 2.0 * abs(offset[1]) * step + (20 * step if offset[0] < 0 else 0)
    for a, b, c, d in taken:
        cost += max(min(right, c) - max(left, a), 0) * max(min(high, d) - max(low, b), 0)
    outside = max(right - frame[0] - frame[2], 0) + max(frame[0] - left, 0)
    outside += max(high - frame[1] - frame[3], 0) + max(frame[1] - low, 0)
    return cost + 50 * outside


def _legend(axis: Any, rows: List[Row], estimated: bool, measured: bool) -> None:
    from matplotlib.lines import Line2D

    def mark(shape: str, text: str, edge: str, face: str) -> Any:
        return Line2D([], [], marker=shape, ls="", mec=edge, mfc=face, ms=7, label=text)

    shown = [p for p in MARKS if any(r.get("precision") == p for r in rows)]
    entries = [mark(MARKS[p], p.upper(), INK, INK) for p in shown]
    if estimated and measured:
        entries.append(mark("o", "measured", INK, INK))
    if estimated:
        entries.append(mark("o", "estimated, with its interval", INK, "white"))
    entries.append(mark("o", "beaten in both", GREY, GREY))
    axis.legend(handles=entries, fontsize=8, frameon=False, loc="lower right", labelcolor=SOFT)
