"""The report of a profile: one HTML file that opens offline."""

import base64
import pkgutil
from typing import Any, Dict, List, Optional, Sequence

from ...core import StorageError
from .front import by_device
from .rows import STAGES, place_of, title

OWN_CSS = """
td.name { text-align: left; padding-left: 0; }
tr.beaten td, tr.beaten th { color: var(--soft); }
tr.front th { font-weight: 700; }
tr.estimate td.ms, tr.estimate td.infer { font-style: italic; }
.tag { font-size: 12px; border: 1px dashed var(--soft); border-radius: 4px; padding: 0 5px;
  color: var(--soft); font-weight: 400; white-space: nowrap; }
.tag.measured { border-style: solid; }
.answers li { padding: 13px 16px; background: var(--card); border: 1px solid var(--rule);
  border-left: 4px solid var(--zone); border-radius: 8px; margin-bottom: 10px; font-size: 17px; }
.front-picture { background: #fff; border-radius: 8px; padding: 8px; }
.front-picture img { display: block; width: 100%; height: auto; max-width: 1100px; margin: auto; }
.wide th:first-child { white-space: normal; min-width: 150px; text-align: left; }
.stack-bar { display: flex; height: 14px; border-radius: 3px; overflow: hidden; min-width: 160px; }
.stack-bar i { display: block; height: 100%; }
.s0 { background: #7b8794; } .s1 { background: #d98c3d; } .s2 { background: #0064a8; }
.confusion td, .confusion thead th { text-align: center; }
.confusion td.right { background: rgba(0, 122, 90, calc(var(--depth) * 0.45)); }
.confusion td.wrong { background: rgba(200, 70, 40, calc(var(--depth) * 0.6)); }
.s3 { background: #007a5a; } .s4 { background: #6a3d9a; }
"""

TEMPLATE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="generator" content="edgelane">
<title>Latency against accuracy</title>
<link rel="icon" href="data:,">
<style>{{ css | safe }}</style>
</head>
<body>
<header>
  <h1>Latency against accuracy</h1>
  <p>{{ about.date }} · {{ about.machine }}</p>
</header>
<main>
{% if answers %}<ul class="answers">{% for a in answers %}<li>{{ a.text }}</li>{% endfor %}</ul>{% endif %}
{% if notes or failed %}<ul class="notices">
{% for text in notes %}<li class="note">{{ text | sentence }}</li>{% endfor %}
{% if failed %}<li class="bad">{{ failed | length }} of {{ rows | length }} rows failed; they are listed at the end.</li>{% endif %}
</ul>{% endif %}
{% if picture %}<section><h2>The front</h2><div class="block front-picture">
<img src="{{ picture }}" alt="Accuracy against time for each device; what nothing beats in both is coloured">
</div></section>{% endif %}
{% for device in devices %}
<section><h2>{{ device.title }}</h2>
<div class="block"><div class="scroll"><table class="wide">
<thead><tr><th scope="col">Option</th><th scope="col"></th>
{% if device.judged %}<th scope="col">{{ device.metric }}</th>{% endif %}
{% if device.agrees %}<th scope="col">agrees with FP32</th>{% endif %}
{% if device.measured %}<th scope="col">ms, capture to event</th><th scope="col">p95</th><th scope="col">p99</th>{% endif %}
<th scope="col">inference ms</th><th scope="col">frames/s</th>
{% if device.power %}<th scope="col">W</th><th scope="col">mJ a frame</th>{% endif %}
{% if device.heat %}<th scope="col">°C</th>{% endif %}
{% if device.measured %}<th scope="col">memory MB</th><th scope="col">file MB</th>{% endif %}
</tr></thead><tbody>
{% for r in device.rows %}<tr class="{{ r.kind }} {{ 'front' if r.front else ('beaten' if r.front == false else '') }}">
<th scope="row">{{ r.title }}{% if r.backend %} <small>{{ r.backend }}</small>{% endif %}</th>
<td class="text"><span class="tag {{ r.kind }}">{{ 'measured' if r.kind == 'measured' else 'estimate' }}</span></td>
{% if device.judged %}<td>{{ r.accuracy | points }}{% if r.drop %} <small>({{ (-r.drop.value) | signed }})</small>{% endif %}</td>{% endif %}
{% if device.agrees %}<td>{{ r.agreement | share }}</td>{% endif %}
{% if device.measured %}<td class="ms">{% if r.kind == 'measured' %}{{ r.ms | ms }} <small>{{ r.low_ms | ms }}–{{ r.high_ms | ms }}</small>{% else %}–{% endif %}</td>
<td>{{ (r.stages.end_to_end.p95 if r.stages else none) | ms }}</td><td>{{ (r.stages.end_to_end.p99 if r.stages else none) | ms }}</td>{% endif %}
<td class="infer">{{ r.infer_ms | ms }}{% if r.kind == 'estimate' %} <small>{{ r.low_ms | ms }}–{{ r.high_ms | ms }}</small>{% endif %}</td>
<td>{{ r.fps | ms }}</td>
{% if device.power %}<td>{{ r.watts | ms }}</td><td>{{ r.energy_mj | ms }}</td>{% endif %}
{% if device.heat %}<td>{{ r.temperature_c | ms }}</td>{% endif %}
{% if device.measured %}<td>{{ r.peak_mb | ms }}</td><td>{{ r.file_mb | ms }}</td>{% endif %}
</tr>{% endfor %}
</tbody></table></div>
<p class="fine">{{ device.words }}</p></div>
{% if device.staged %}
<div class="block"><h3>Where the time goes</h3>
<p class="key">{% for name in stages %}<span><i class="swatch s{{ loop.index0 }}"></i>{{ name }}</span>{% endfor %}</p>
<div class="scroll"><table class="wide"><thead><tr><th scope="col">Option</th><th scope="col"></th>{% for name in stages %}<th scope="col">{{ name }}</th>{% endfor %}<th scope="col">whole</th></tr></thead><tbody>
{% for r in device.staged %}<tr><th scope="row">{{ r.title }}</th>
<td><span class="stack-bar">{% for name in stages %}{% if name in r.parts %}<i class="s{{ loop.index0 }}" style="width:{{ r.widths[name] }}%"></i>{% endif %}{% endfor %}</span></td>
{% for name in stages %}<td>{{ r.parts[name] | default(none) | ms }}</td>{% endfor %}<td>{{ r.ms | ms }}</td></tr>{% endfor %}
</tbody></table></div><p class="fine">Milliseconds of the median frame; they add up to the whole.</p></div>
{% endif %}
</section>
{% endfor %}
{% for c in confusions %}<section><h2>What {{ c.title }} takes for what</h2><div class="block"><div class="scroll"><table class="wide confusion">
<thead><tr><th scope="col">is, taken for</th>{% for name in c.classes %}<th scope="col">{{ name }}</th>{% endfor %}<th scope="col">found</th></tr></thead><tbody>
{% for name, row, share in c.table %}<tr><th scope="row">{{ name }}</th>{% for n, depth, right in row %}<td class="{{ 'right' if right else 'wrong' }}" style="--depth:{{ depth }}">{{ n if n else '' }}</td>{% endfor %}<td>{{ share | points }} %</td></tr>{% endfor %}
</tbody></table></div><p class="fine">{{ c.words }}</p></div></section>
{% endfor %}
{% if failed or noted %}<section><h2>What to know</h2><div class="block"><table class="stack"><tbody>
{% for r in failed %}<tr><th scope="row">{{ r.title }}</th><td class="text">{{ r.place }}: {{ r.error }}</td></tr>{% endfor %}
{% for name, text in noted %}<tr><th scope="row">{{ text }}</th><td class="text">{{ name }}</td></tr>{% endfor %}
</tbody></table></div></section>{% endif %}
<section><h2>How it was measured</h2><div class="block"><dl class="facts">
{% for label, value in facts %}<div><dt>{{ label }}</dt><dd>{{ value }}</dd></div>{% endfor %}
</dl></div></section>
</main>
<footer>Made by edgelane. This page needs no network; rows.csv and rows.json beside it hold the same figures.</footer>
</body>
</html>
"""  # noqa: E501


def render(
    rows: Sequence[Dict[str, Any]],
    answers: Sequence[Dict[str, Any]],
    notes: Sequence[str],
    about: Dict[str, Any],
    picture: Optional[bytes],
) -> str:
    """The page as HTML.

    Args:
        rows: As `profile` gives them.
        answers: Likewise.
        notes: Sentences that stand on top.
        about: When, where and how it was measured.
        picture: PNG of the front, or None.
    """
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(
        ms=_ms,
        points=lambda v: "–" if v is None else f"{100 * v:.1f}",
        share=lambda v: "–" if v is None else f"{v:.3f}",
        sentence=lambda text: text[:1].upper() + text[1:],
        signed=lambda v: f"{v:+.1f}",
    )
    shown = [_shown(row) for row in rows]
    groups = by_device(shown)
    counted: Dict[str, List[str]] = {}
    everyone = {row["title"] for row in shown}
    for row in shown:
        for note in row["notes"]:
            names = counted.setdefault(str(note), [])
            if row["title"] not in names:
                names.append(row["title"])
    return environment.from_string(TEMPLATE).render(
        css=_css() + OWN_CSS,
        rows=shown,
        answers=answers,
        notes=notes,
        about=about,
        picture=picture and "data:image/png;base64," + base64.b64encode(picture).decode(),
        devices=[_device(group) for group in groups.values()],
        failed=[row for row in shown if row["error"]],
        noted=[
            ("all" if len(names) > 2 and len(names) == len(everyone) else ", ".join(names), text)
            for text, names in counted.items()
        ],
        confusions=_confusions(shown),
        stages=[s for s in STAGES[:-1] if any(s in (r["stages"] or {}) for r in shown)],
        facts=_facts(about),
    )


_FIELDS = (
    "kind", "backend", "accuracy", "metric", "agreement", "drop", "ms", "low_ms", "high_ms",
    "infer_ms", "fps", "watts", "energy_mj", "temperature_c", "peak_mb", "file_mb", "stages",
    "front", "error", "device", "mode", "machine", "fitted_on", "confusion", "scores",
)  # fmt: skip


def _shown(row: Dict[str, Any]) -> Dict[str, Any]:
    shown = {name: row.get(name) for name in _FIELDS}
    shown["title"], shown["place"] = title(row), place_of(row)
    shown["notes"] = row.get("notes") or []
    stages = row.get("stages") or {}
    parts = {n: v.get("of_median", v["p50"]) for n, v in stages.items() if n != "end_to_end"}
    total = sum(parts.values()) or 1.0
    shown["parts"] = parts
    shown["widths"] = {n: round(100 * part / total, 2) for n, part in parts.items()}
    return shown


MOST_CLASSES = 20
"""Of a table of what was taken for what that can be read."""


def _confusions(rows: List[Dict[str, Any]]) -> List[Dict[str, Any]]:
    """Tables of what classifiers take for what: of each model's first row."""
    found, known = [], set()
    for row in rows:
        told = row["confusion"] or {}
        name = row["title"].rsplit(" ", 1)[0]
        if row["kind"] != "measured" or name in known or not told.get("counts"):
            continue
        known.add(name)
        classes, counts = told["classes"], told["counts"]
        if len(classes) > MOST_CLASSES:
            continue
        table = []
        for i, values in enumerate(counts):
            total = sum(values)
            cells = [(n, round(n / total, 3) if total else 0, i == k) for k, n in enumerate(values)]
            table.append((classes[i], cells, values[i] / total if total else None))
        words = "Pictures of each class in a row, by the class that was chosen."
        scores = row["scores"] or {}
        if "top5" in scores:
            words += f" Among the five best is the right one in {100 * scores['top5']:.1f} %."
        found.append({"title": row["title"], "classes": classes, "table": table, "words": words})
    return found


def _device(rows: List[Dict[str, Any]]) -> Dict[str, Any]:
    kinds = {r["kind"] for r in rows}
    measured = [r for r in rows if r["kind"] == "measured"]
    metrics = sorted({str(r["metric"]) for r in rows if r["metric"]})
    words = []
    if measured:
        words.append(
            "Milliseconds from the picture's file to the event, one frame after another: the "
            "median over all rounds with its 95 % interval."
        )
        if any("pipeline" in (r["stages"] or {}) for r in measured):
            words.append("Frames a second are those of the run loop, whose stages overlap.")
    if "estimate" in kinds:
        fitted = next((r["fitted_on"] for r in rows if r["fitted_on"]), None)
        words.append(
            "Estimates, in italics and hollow in the picture, are of inference alone, with the "
            "range in which it is expected" + (f"; fitted on {fitted}." if fitted else ".")
        )
    if any(r["front"] is False for r in rows):
        words.append("Grey: something else is both faster and more right.")
    name = place_of(rows[0], titled=True)
    return {
        "title": name[:1].upper() + name[1:],
        "rows": sorted(rows, key=lambda r: (r["kind"] != "measured", r["ms"])),
        "judged": bool(metrics),
        "metric": " / ".join(metrics) + ", points",
        "agrees": any(r["agreement"] is not None for r in rows),
        "measured": bool(measured),
        "power": any(r["watts"] is not None for r in rows),
        "heat": any(r["temperature_c"] is not None for r in rows),
        "staged": sorted((r for r in measured if r["stages"]), key=lambda r: r["ms"]),
        "words": " ".join(words),
    }


def _facts(about: Dict[str, Any]) -> List[Any]:
    versions = ", ".join(f"{k} {v}" for k, v in about.get("versions", {}).items())
    return [
        ("Machine", about.get("machine")),
        ("Date", about.get("date")),
        ("Versions", versions),
        ("Pictures", about.get("data")),
        ("Labels", about.get("labels") or "none"),
        ("Pictures that times are measured on", about.get("pictures_timed")),
        ("Rounds, each in a process of its own", about.get("repeats")),
        ("Seconds a round at least", about.get("seconds")),
    ]


def _ms(value: Optional[float]) -> str:
    """Three digits that count."""
    if value is None:
        return "–"
    if abs(value) >= 99.95:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 9.995 else f"{value:.2f}"


def _css() -> str:
    """The style of the report of a run, so that all pages look alike."""
    name = "dashboard/report.css"
    content = pkgutil.get_data((__package__ or "edgelane").split(".")[0], name)
    if content is None:
        raise StorageError(f"{name} is missing from the package", remedy="install edgelane anew")
    return content.decode("utf-8")
