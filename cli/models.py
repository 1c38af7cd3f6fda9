"""`edgelane models`: the registry of models, and downloads from it."""

import json
from typing import Any, Dict, List, Optional

import click

_registry = click.option(
    "--registry", metavar="FILE", help="Models of your own beside ours, JSON or YAML."
)
_cache = click.option(
    "--cache",
    metavar="DIR",
    help="Folder of downloaded models [default: $EDGELANE_CACHE or ~/.cache/edgelane/models].",
)
_json = click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")


@click.group("models", invoke_without_command=True)
@_registry
@_cache
@_json
@click.pass_context
def command(
    ctx: click.Context, registry: Optional[str], cache: Optional[str], as_json: bool
) -> None:
    """Well-known models: list them, or `get` one."""
    ctx.obj = {"registry": registry, "cache": cache}
    if ctx.invoked_subcommand is not None:
        return
    from ..runtime.registry import list_models

    models = list_models(registry=registry, cache=cache)
    if as_json:
        click.echo(json.dumps(models))
        return
    for line in table(models):
        click.echo(line)


@command.command("get")
@click.argument("name")
@click.option("--trust", is_flag=True, help="Take a model of which no checksum is published.")
@click.option("--out", metavar="PATH", help="File or folder for a copy.")
@_registry
@_cache
@_json
@click.pass_context
def get(
    ctx: click.Context,
    name: str,
    trust: bool,
    out: Optional[str],
    registry: Optional[str],
    cache: Optional[str],
    as_json: bool,
) -> None:
    """Download the model NAME into the cache, with its card stamped into it.

    A download that was cut off is gone on with.
    """
    from ..runtime.registry import fetch_model

    got = fetch_model(
        name,
        trust=trust,
        out=out,
        registry=registry or ctx.obj["registry"],
        cache=cache or ctx.obj["cache"],
        progress=not as_json,
    )
    if as_json:
        click.echo(json.dumps({**got._asdict(), "name": name, "path": str(got.path)}))
        return
    click.echo(f"model   {got.path}" + ("" if got.fresh else ", in the cache already"))
    seen = (
        "nobody published one: remembered from the first download"
        if got.trusted
        else "as published"
    )
    click.echo(f"sha256  {got.sha256}, {seen}")


def table(models: List[Dict[str, Any]]) -> List[str]:
    """The models as lines of text, with where the scores come from below."""
    head = ["name", "task", "licence", "params", "score", "input", "file", "here"]
    rows = [head]
    sources: List[str] = []
    notes = []
    for model in models:
        score, told = model["score"], "-"
        if score is not None:
            source = f"{score['metric']} on {score['data']}, {score['source']}"
            if source not in sources:
                sources.append(source)
            told = f"{score['value']:.1f} [{sources.index(source) + 1}]"
        size, millions = model["file_size"], model["parameters_m"]
        rows.append(
            [
                model["name"],
                model["task"],
                model["licence"],
                f"{millions:g} M" if millions else "-",
                told,
                "{}x{}".format(*model["input_size"]),
                f"{size / 1e6:.1f} MB" if size else "-",
                _here(model),
            ]
        )
        if model["note"]:
            notes.append(f"{model['name']}: {model['note']}")
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths)).rstrip() for row in rows]
    lines += ["", *(f"[{n}] {source}" for n, source in enumerate(sources, 1))]
    lines += ["", "store-person ships: small, trained on rendered stores alone, for trying out"]
    return lines + (["", *notes] if notes else [])


def _here(model: Dict[str, Any]) -> str:
    if model["cached"]:
        return "yes"
    if model["begun"]:
        return "begun"
    if model["address"] is None:
        return "no download"
    return "no" if model["verifiable"] else "no, asks for --trust"
