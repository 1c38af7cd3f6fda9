"""`edgelane lint`: what keeps a quantised model from being a good INT8 engine."""

import json
from typing import Dict

import click

SHOWN = 5
"""Findings of a rule that are printed unless all are asked for."""


@click.command("lint")
@click.argument("model")
@click.option("--all", "show_all", is_flag=True, help="Print every finding, not five of each rule.")
@click.option("--strict", is_flag=True, help="Exit with 1 on warnings too.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@click.pass_context
def command(ctx: click.Context, model: str, show_all: bool, strict: bool, as_json: bool) -> None:
    """Look for what TensorRT would refuse, run in float or run unfused in the Q/DQ model MODEL.

    Exits with 1 where there are errors, with 0 where there are none.
    """
    from ..calibration.lint import count, lint

    findings = lint(model)
    counts = count(findings)
    failed = bool(counts["error"] or (strict and counts["warning"]))
    if as_json:
        rows = [f._asdict() for f in findings]
        click.echo(json.dumps({"model": model, "counts": counts, "findings": rows}))
        ctx.exit(int(failed))
    seen: Dict[str, int] = {}
    for finding in findings:
        seen[finding.rule] = seen.get(finding.rule, 0) + 1
        if show_all or seen[finding.rule] <= SHOWN:
            click.echo(f"{finding.severity:<8}{finding.rule:<15}{finding.node}: {finding.what}")
            if seen[finding.rule] == 1:
                click.echo(f"{'':<23}{finding.remedy[0].upper()}{finding.remedy[1:]}.")
    left = {rule: n - SHOWN for rule, n in seen.items() if n > SHOWN}
    if left and not show_all:
        click.echo("and more: " + ", ".join(f"{n} {rule}" for rule, n in left.items()) + " (--all)")
    if findings:
        click.echo(", ".join(_amount(n, name) for name, n in counts.items() if n))
    else:
        click.echo("nothing found: a clean INT8 graph")
    ctx.exit(int(failed))


def _amount(count: int, name: str) -> str:
    return f"{count} {name}" + ("s" if count > 1 and name != "info" else "")
