"""`edgelane status`: the cameras of a run, as a live table."""

import json
import shutil
import sys
import time
from typing import Any, Dict, Iterator, List, Optional

import click

COLOURS = {
    "ok": "green",
    "starting": "yellow",
    "degraded": "yellow",
    "away": "red",
    "failed": "red",
    "gone": "red",
}


@click.command("status")
@click.argument("place", metavar="[DIR|URL]", required=False)
@click.option("--once", is_flag=True, help="Print it once, also on a terminal.")
@click.option("--every", default=1.0, show_default=True, metavar="S", help="Seconds between two.")
@click.option("--json", "as_json", is_flag=True, help="Print it once, as JSON.")
def command(place: Optional[str], once: bool, every: float, as_json: bool) -> int:
    """The cameras of a run: state, fps, latency, drops, gaps, temperature.

    DIR is the run's folder and URL its health endpoint; the newest run unless given. On a terminal
    the table is kept up to date until Ctrl-C. The exit code is 1 where the run has failed or is
    gone.
    """
    from .jobs.status import status

    if not 0.1 <= every <= 3600:
        raise click.BadParameter("must be from 0.1 to 3600 seconds", param_hint="--every")
    live = sys.stdout.isatty() and not (once or as_json)
    told = status(place)
    if as_json:
        click.echo(json.dumps(told))
    elif not live:
        for line in _lines(told):
            click.echo(line)
    else:
        try:
            told = _watch(place, told, every)
        except KeyboardInterrupt:
            return 0
    return 1 if told["state"] in ("failed", "gone") else 0


def _watch(place: Optional[str], told: Dict[str, Any], every: float) -> Dict[str, Any]:
    """Keep the table up to date in place, until the run has ended."""
    from ..core import EdgelaneError
    from .jobs.status import status

    while True:
        size = shutil.get_terminal_size()
        lines = _lines(told, colour=True, width=size.columns)
        if len(lines) > size.lines - 1:
            lines = [*lines[: size.lines - 2], "…"]
        text = "".join(f"{line}\x1b[K\n" for line in lines)
        # Home, the lines, and nothing below them: no flicker.
        click.echo(f"\x1b[H{text}\x1b[J" if told.get("again") else f"\x1b[2J\x1b[H{text}", nl=False)
        if told["run"]["state"] != "running":
            return told
        time.sleep(every)
        try:
            told = {**status(place), "again": True}
        except EdgelaneError as error:
            told = {**told, "again": True, "state": "failed", "reasons": [str(error)]}


def _lines(told: Dict[str, Any], **how: Any) -> List[str]:
    from ..core import UsageError

    try:
        return list(describe(told, **how))
    except (KeyError, TypeError, ValueError, AttributeError):
        raise UsageError(
            "what was told is no status of edgelane", remedy="ask one of the same version"
        ) from None


def describe(told: Dict[str, Any], colour: bool = False, width: int = 0) -> Iterator[str]:
    """A status as lines of text.

    Args:
        told: As `status` gives it.
        colour: Colour the states, for a terminal.
        width: Columns of the terminal; 0 for any number.
    """

    def cut(text: str) -> str:
        # What a server tells must not steer the terminal.
        text = "".join(c if c.isprintable() else "?" for c in text)
        return text if not width or len(text) <= width else text[: width - 1] + "…"

    def paint(text: str, state: str) -> str:
        return click.style(text, fg=COLOURS.get(state)) if colour and state in COLOURS else text

    run, machine = told["run"], told["machine"]
    state = told["state"]
    head = f"{state}  {run.get('pipeline', '')} {run.get('model', '')}".rstrip()
    head += f"  up {_span(run.get('uptime_s'))}  {run.get('fps', 0):.1f} frames/s"
    if told.get("from") == "folder":
        head += f"  (told {_span(told.get('age_s'))} ago)"
    yield paint(cut(head), state)
    for reason in told["reasons"]:
        yield paint(cut(f"  {reason}"), state)
    yield cut("  ".join(_machine(machine)))
    for name, hook in told.get("webhooks", {}).items():
        text = f"webhook {name}: {hook['queued']} waiting, {hook['delivered']} delivered"
        if hook["dropped"]:
            text += f", {hook['dropped']} given up"
        yield cut(text)
    if told.get("clips"):
        clips = told["clips"]
        failed = f", {clips['failed']} failed" if clips["failed"] else ""
        yield cut(f"clips {clips['kept']} kept, {_bytes(clips['bytes'])}{failed}")
    yield ""
    rows = [_HEAD, *(_row(name, camera) for name, camera in told["cameras"].items())]
    wide = [max(len(row[at]) for row in rows) for at in range(len(_HEAD))]
    states = ["", *(camera["state"] for camera in told["cameras"].values())]
    for row, of in zip(rows, states):
        cells = [row[0].ljust(wide[0]), row[1].ljust(wide[1])]
        cells += [cell.rjust(size) for cell, size in zip(row[2:], wide[2:])]
        yield paint(cut("  ".join(cells)), of if of != "ended" else "")


_HEAD = ["camera", "state", "fps", "ms p50/p99", "frames", "drops", "gaps", "missing"]
_HEAD += ["reconn.", "last"]


def _row(name: str, camera: Dict[str, Any]) -> List[str]:
    latency = camera["latency_ms"]
    age = camera["last_frame_age_s"]
    missing = camera["missing_s"] + camera.get("away_s", 0.0)
    return [
        name,
        camera["state"],
        f"{camera['fps']:.1f}",
        f"{latency['p50']:.0f}/{latency['p99']:.0f}" if camera["frames"] > 0 else "–",
        f"{camera['frames']:,}",
        f"{camera['dropped']:,}",
        f"{camera['gaps']:,}",
        _span(missing) if missing else "–",
        f"{camera['reconnects']:,}",
        "–" if age is None or camera["state"] == "ended" else _span(age),
    ]


def _machine(machine: Dict[str, Any]) -> List[str]:
    parts = []
    if machine.get("temperature_c") is not None:
        hot = " (hot)" if machine.get("hot") else ""
        parts.append(f"{machine['temperature_c']:.0f} °C{hot}")
    else:
        parts.append("temperature not told")
    if machine.get("throttled"):
        parts.append("slowed down by " + ", ".join(machine["throttled_by"] or ["heat or current"]))
    if machine.get("power_w") is not None:
        parts.append(f"{machine['power_w']:.1f} W")
    if machine.get("gpu_load") is not None:
        parts.append(f"GPU {100 * machine['gpu_load']:.0f} %")
    for key, text in (
        ("memory_available_bytes", "memory {} free"),
        ("disk_free_bytes", "disk {} free"),
        ("journal_bytes", "journal {}"),
    ):
        if machine.get(key) is not None:
            parts.append(text.format(_bytes(machine[key])))
    return parts


def _bytes(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 999.5:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def _span(seconds: Optional[float]) -> str:
    if seconds is None:
        return "–"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = int(seconds // 60)
    if minutes < 120:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d}" if hours < 48 else f"{hours // 24} d {hours % 24} h"
