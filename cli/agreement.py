"""`edgelane agreement`: do verdicts repeat, do appraisers agree, and are they right?"""

import json
from pathlib import Path
from typing import Optional, Tuple

import click


@click.command("agreement")
@click.argument("sources", nargs=-1, required=True, metavar="[OPERATOR=]RUN|VERDICTS|TABLE…")
@click.option("--reference", metavar="CSV|DIR", help="What each part truly is.")
@click.option("--fail", metavar="VERDICT", help="The verdict that means a bad part.")
@click.option(
    "--unsure", metavar="VERDICT", help="What unsure counts as: fail, if the line puts it out."
)
@click.option("--out", metavar="DIR", help="Folder for a page, and tables as CSV.")
@click.option("--json", "as_json", is_flag=True, help="Print the study as JSON.")
def command(
    sources: Tuple[str, ...],
    reference: Optional[str],
    fail: Optional[str],
    unsure: Optional[str],
    out: Optional[str],
    as_json: bool,
) -> None:
    """Attribute agreement: kappa, misses and false alarms of cameras and people on the same parts.

    Each source is a run folder of a recipe, a file of lines from edgelane inspect --json, or a CSV
    with the columns part, operator, trial, verdict and reference. Several of one operator are its
    trials: run the same parts again to see whether verdicts repeat. --reference is a CSV with the
    columns part and reference, or a folder with folders pass and fail of pictures.
    """
    from ..dashboard.quality import attribute_section
    from .jobs.agreement import agree
    from .jobs.studies import attribute_lines, write_study

    found = agree(sources, reference, fail=fail, unsure=unsure)
    result, lines = found.as_dict(), attribute_lines(found)
    if out is not None:
        title = "Agreement of " + ", ".join(o.name for o in found.operators)
        page = write_study(Path(out), "agreement", title, result, [attribute_section(found)])
        result["report"] = str(page)
        lines.append(f"report   {page}")
    for line in [json.dumps(result)] if as_json else lines:
        click.echo(line)
