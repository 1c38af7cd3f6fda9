"""`edgelane grr`: how much of what a gauge shows is the gauge."""

import json
from pathlib import Path
from typing import Any, Optional, Tuple

import click


@click.command("grr")
@click.argument("sources", nargs=-1, required=True, metavar="TABLE.csv | [OPERATOR=]RUN…")
@click.option("--gauge", metavar="NAME", help="Which gauge of the runs' recipe is studied.")
@click.option(
    "--tolerance", type=float, metavar="T", help="Upper minus lower limit, in units of the values."
)
@click.option(
    "--method",
    type=click.Choice(["anova", "range"]),
    default="anova",
    show_default=True,
    help="Analysis of variance, or averages and ranges.",
)
@click.option(
    "--no-operator", is_flag=True, help="Nobody handles the gauge: all rows are its trials."
)
@click.option(
    "--attribute", is_flag=True, help="The table holds verdicts: kappa, misses and false alarms."
)
@click.option("--fail", metavar="VERDICT", help="The verdict that means a bad part.")
@click.option("--unit", default="", help="Unit of the values, for the page.")
@click.option("--out", metavar="DIR", help="Folder for a page with charts, and tables as CSV.")
@click.option("--json", "as_json", is_flag=True, help="Print the study as JSON.")
def command(
    sources: Tuple[str, ...],
    gauge: Optional[str],
    tolerance: Optional[float],
    method: str,
    no_operator: bool,
    attribute: bool,
    fail: Optional[str],
    unit: str,
    out: Optional[str],
    as_json: bool,
) -> None:
    """Gauge R&R: how much of what is measured comes from the gauge and its operators.

    TABLE.csv has the columns part, operator, trial and value, every operator measuring every part
    equally often; ten parts, three operators and three trials are usual. With --attribute the
    last column is verdict, and a column reference says what each part truly is.

    In place of a table, run folders of a recipe: in each the same parts, in the same order. Each is
    a trial of its operator, or of the camera alone where none is named; the tolerance is the
    recipe's.
    """
    from ..core import UsageError
    from .jobs.studies import read_table, split_source, write_study

    first, title = sources[0], Path(sources[0]).stem
    runs = len(sources) > 1 or (split_source(first)[1] / "events.db").is_file()
    if attribute:
        if tolerance is not None or no_operator or method != "anova":
            raise UsageError("--tolerance, --method and --no-operator are for measured values")
        if runs:
            raise UsageError("the verdicts of runs are studied by edgelane agreement")
        result, lines, section = _attribute(read_table(first), fail)
    else:
        if fail is not None:
            raise UsageError("--fail is for verdicts", remedy="add --attribute")
        if gauge is not None and not runs:
            raise UsageError("--gauge is for runs", remedy="leave it out: a table is of one gauge")
        if runs:
            from .jobs.measured import measured_runs

            found = measured_runs(sources, gauge)
            study, title = found.study, found.gauge
            unit = unit or found.unit
            tolerance = found.tolerance if tolerance is None else tolerance
            no_operator = no_operator or not found.handled
        else:
            from ..pipelines.quality import read_study

            study = read_study(read_table(first))
        result, lines, section = _measured(study, tolerance, method, no_operator, unit)
    if out is not None:
        page = write_study(Path(out), "grr", title, result, [section])
        result["report"] = str(page)
        lines.append(f"report   {result['report']}")
    for line in [json.dumps(result)] if as_json else lines:
        click.echo(line)


def _measured(study: Any, tolerance, method: str, no_operator: bool, unit: str):
    from ..dashboard.quality import MEANING, gauge_section
    from ..pipelines.quality import gauge_study

    found = gauge_study(study, tolerance, method, operators=not no_operator)
    gauge = found.components["gauge"]
    p, o, r = found.size
    how = "analysis of variance" if method == "anova" else "averages and ranges"
    handled = "nobody handles it" if no_operator else f"{o} operators"
    lines = [f"study    {p} parts, {handled}, {r} trials, by {how}"]
    if gauge.of_tolerance is not None:
        whole = f"{tolerance:g} {unit}".rstrip()
        lines.append(f"%GRR     {gauge.of_tolerance:.1f} % of the tolerance of {whole}")
    lines.append(f"%GRR     {gauge.of_total:.1f} % of the total variation")
    lines.append(f"ndc      {'no limit' if found.ndc is None else found.ndc}")
    lines.append(f"{'source':<18}{'sd':>12}{'% total':>10}{'% tolerance':>13}")
    for c in found.components.values():
        share = "–" if c.of_tolerance is None else f"{c.of_tolerance:.1f}"
        lines.append(f"{c.name:<18}{c.sd:>12.5g}{c.of_total:>10.1f}{share:>13}")
    lines += [f"warning  {text}" for text in found.warnings]
    lines.append(f"verdict  {found.verdict}: {found.grr:.1f} %. {MEANING[found.verdict]}")
    return found.as_dict(), lines, gauge_section(study, found, unit)


def _attribute(text: str, fail: Optional[str]):
    from ..dashboard.quality import attribute_section
    from ..pipelines.quality import attribute_study, read_judgements
    from .jobs.studies import attribute_lines

    found = attribute_study(read_judgements(text), fail)
    return found.as_dict(), attribute_lines(found), attribute_section(found)
