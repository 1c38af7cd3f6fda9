"""`edgelane flash`: a bundle goes to a device over ssh, to many, or onto a card."""

import json
import sys
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import click


@click.command("flash", options_metavar="[OPTIONS]")
@click.argument("where", metavar="USER@HOST|INVENTORY.yaml BUNDLE", nargs=-1, required=True)
@click.option("--signature", metavar="FILE", help="Its .minisig file [default: beside it].")
@click.option("--trust", metavar="PUB", help="The first key of a device that trusts nobody.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and change nothing.")
@click.option("--downgrade", is_flag=True, help="Take an older version than the one that runs.")
@click.option("--ignore-expiry", is_flag=True, help="Take it whatever the device's clock says.")
@click.option("--device", metavar="NAME", help="What the device is, where it cannot tell.")
@click.option("--value", multiple=True, metavar="NAME=TEXT", help="Set there what secret:NAME is.")
@click.option("--secret", multiple=True, metavar="NAME", help="As --value, but asked for.")
@click.option("--secrets", metavar="DIR", help="Secrets at the desk: NAME, or DEVICE/NAME.")
@click.option("--ask-sudo", is_flag=True, help="Ask for the password of sudo on the device.")
@click.option("--waves", metavar="N,P%,…", help="How far each wave goes [default: 1,10%,100%].")
@click.option("--max-failures", default="20%", show_default=True, help="Stop beyond this share.")
@click.option("--no-watch", is_flag=True, help="Do not wait for probations between waves.")
@click.option("--parallel", default=8, show_default=True, help="Devices at the same time.")
@click.option("--retries", default=2, show_default=True, help="Go on by itself after a cut.")
@click.option("--probation", metavar="TIME", help="How long it is watched there, e.g. 10m.")
@click.option("--no-engine", is_flag=True, help="Build no engine during the installation.")
@click.option("--no-cameras", is_flag=True, help="Do not look at the cameras before the switch.")
@click.option("--ssh", metavar="COMMAND", help="What reaches it [or EDGELANE_SSH; default: ssh].")
@click.option(
    "--remote-python",
    metavar="PATH",
    envvar="EDGELANE_REMOTE_PYTHON",
    help="Python there that has edgelane [default: looked for].",
)
@click.option(
    "--root",
    default="/",
    show_default=True,
    metavar="DIR",
    envvar="EDGELANE_REMOTE_ROOT",
    help="The device's root.",
)
@click.option("--image", metavar="DIR", help="Prepare a card's first boot here, and flash nobody.")
@click.option("--hostname", metavar="NAME", help="With --image: the device's name.")
@click.option("--address", metavar="IP/BITS", help="With --image: a fixed one [default: DHCP].")
@click.option("--gateway", metavar="IP", help="With --image: the way out, for --address.")
@click.option("--dns", multiple=True, metavar="IP", help="With --image: for --address.")
@click.option("--wifi", metavar="SSID", help="With --image: its password is the secret `wifi`.")
@click.option("--netplan", is_flag=True, help="With --image: netplan instead of NetworkManager.")
@click.option("--login", metavar="PUB", help="With --image: an ssh key that may log in as root.")
@click.option("--json", "as_json", is_flag=True, help="Print what came of it as JSON.")
def command(where: Tuple[str, ...], as_json: bool, **given: Any) -> None:
    """Bring BUNDLE to a device over ssh, and let it run there once it has proved itself.

    Only what the device lacks is sent, and after a cut the same command goes on. An inventory
    reaches many devices in waves. --image prepares the first boot of a card instead.
    """
    from ..core import UsageError

    if given["image"] is not None:
        if len(where) != 1:
            raise UsageError("--image takes a bundle alone", got=" ".join(where))
        _image(where[0], as_json, given)
        return
    if len(where) != 2:
        raise UsageError(
            "flash takes a device and a bundle",
            got=" ".join(where),
            expected="edgelane flash user@host store-12.edgelane",
        )
    for name in ("hostname", "address", "gateway", "wifi", "netplan", "login"):
        if given[name]:
            raise UsageError(f"--{name} goes with --image")
    target, bundle = where
    if target.endswith((".yaml", ".yml")):
        _many(target, bundle, as_json, given)
    else:
        _one(target, bundle, as_json, given)


def _common(given: Dict[str, Any]) -> Dict[str, Any]:
    """What one device and many take alike."""
    from ..deploy import read_public
    from ..deploy.far import commands, environment_ssh

    options: List[str] = []
    options += ["--probation", given["probation"]] if given["probation"] is not None else []
    options += ["--no-engine"] if given["no_engine"] else []
    options += ["--no-cameras"] if given["no_cameras"] else []
    password = click.prompt("sudo", hide_input=True, err=True) if given["ask_sudo"] else None
    return {
        "signature": given["signature"],
        "trust": read_public(given["trust"]) if given["trust"] else None,
        "dry_run": given["dry_run"],
        "downgrade": given["downgrade"],
        "ignore_expiry": given["ignore_expiry"],
        "device": given["device"],
        "root": given["root"],
        "python": given["remote_python"],
        "ssh": commands(given["ssh"]) if given["ssh"] else environment_ssh(),
        "password": password,
        "retries": given["retries"],
        "options": options,
    }


def _values(given: Dict[str, Any]) -> Dict[str, str]:
    """Values and secrets of one device."""
    from ..core import UsageError
    from ..runtime.secrets import check_secret_name, read_secret

    values = {}
    for text in given["value"]:
        name, mark, value = text.partition("=")
        if not mark:
            raise UsageError("--value makes no sense", got=repr(text), expected="NAME=TEXT")
        values[name] = value
    for name in given["secret"]:
        check_secret_name(name)
        if given["secrets"] is not None:
            values[name] = read_secret(name, given["secrets"])
        elif sys.stdin.isatty():
            values[name] = click.prompt(name, hide_input=True, err=True)
        else:
            values[name] = sys.stdin.readline().rstrip("\r\n")
    return values


def _one(host: str, bundle: str, as_json: bool, given: Dict[str, Any]) -> None:
    from ..deploy import flash
    from ..runtime.progress import Progress

    shown = [Progress("", "kB")]
    last = [""]

    def tell(what: str, done: float, of: Optional[float]) -> None:
        if what != last[0]:
            shown[0].close()
            last[0] = what
            shown[0] = Progress(what, "kB")
            if of is None:
                click.echo(what, err=True)
        if of is not None:
            shown[0].update(int(done / 1000), done / of if of else 1.0)

    try:
        done = flash(host, bundle, values=_values(given), tell=tell, **_common(given))
    finally:
        shown[0].close()
    if as_json:
        click.echo(json.dumps(done._asdict()))
        return
    click.echo(f"device   {host}: {done.device}")
    for step in done.steps:
        click.echo(f"{'would' if given['dry_run'] else 'did':<9}{step}")
    tested = done.installed.get("tested")
    if tested:
        answers = tested.get("answers")
        told = f"{answers} verdicts" if answers else f"{tested['events']} events"
        click.echo(f"golden   {told} as they must be")
    repaired = done.installed.get("repaired", [])
    if repaired:
        click.echo(f"release  {done.release} runs already; put back {', '.join(repaired)}")
    elif done.state == "unchanged":
        click.echo(f"release  {done.release} runs already")
    elif done.state == "installed":
        click.echo(f"release  {done.release} runs now")
    if done.state == "installed" and done.before and not repaired:
        click.echo(f"before   {done.before}; edgelane rollback brings it back")
    if done.installed.get("probation_s"):
        click.echo(f"watched  for {done.installed['probation_s']:.0f} s; it goes back by itself")
    for warning in [*done.warnings, *done.installed.get("warnings", [])]:
        click.echo(f"warning  {warning}")
    share = 100 * done.sent / max(done.size, 1)
    click.echo(f"sent     {done.sent / 1e6:.2f} MB, {share:.1f} % of it, in {done.seconds:.1f} s")


def _many(inventory: str, bundle: str, as_json: bool, given: Dict[str, Any]) -> None:
    from ..core import EdgelaneError, UsageError
    from ..deploy import flash_all, read_inventory
    from ..deploy.fleet import share_of, table

    for name in ("value", "secret"):
        if given[name]:
            raise UsageError(f"--{name} is for one device", remedy="write it in the inventory")
    if given["parallel"] < 1:
        raise UsageError("--parallel is too small", got=given["parallel"], expected="1 or more")
    options = _common(given)
    beside = Path(inventory).parent / "secrets"
    secrets = given["secrets"] or (beside if beside.is_dir() else None)

    def tell(name: str, text: str) -> None:
        click.echo(f"{name}  {text}" if name else text, err=True)

    rolled = flash_all(
        read_inventory(inventory),
        bundle,
        waves=given["waves"] or "1,10%,100%",
        max_failures=share_of(given["max_failures"]),
        parallel=given["parallel"],
        secrets=secrets,
        watch=not given["no_watch"],
        tell=tell,
        **options,
    )
    if as_json:
        rows = [
            {**row._asdict(), "flashed": row.flashed._asdict() if row.flashed else None}
            for row in rolled.rows
        ]
        facts = {"devices": rows, "failed": rolled.failed, "stopped": rolled.stopped}
        click.echo(json.dumps(facts))
    else:
        for line in table(rolled):
            click.echo(line)
    if rolled.failed:
        stopped = rolled.stopped or f"{rolled.failed} of {len(rolled.rows)} devices failed"
        raise EdgelaneError(
            stopped, remedy="give the same command again: those that have it already are quick"
        )
    if rolled.stopped and not as_json:
        click.echo(rolled.stopped)


def _image(bundle: str, as_json: bool, given: Dict[str, Any]) -> None:
    from ..core import UsageError
    from ..deploy import Network, prepare_image

    options = _common({**given, "ask_sudo": False})
    if options["trust"] is None:
        raise UsageError("--image needs the key that signed the bundle", remedy="--trust NAME.pub")
    if given["dry_run"]:
        raise UsageError("--image makes a folder, and nothing else: there is no --dry-run of it")
    values = _values(given)
    network = None
    if given["address"] or given["wifi"] or given["gateway"] or given["dns"]:
        password = values.pop("wifi", None)
        network = Network(given["address"], given["gateway"], given["dns"], given["wifi"], password)
    extra: List[str] = list(options["options"])
    extra += ["--device", given["device"]] if given["device"] else []
    extra += ["--ignore-expiry"] if given["ignore_expiry"] else []
    made = prepare_image(
        bundle,
        given["image"],
        trust=options["trust"],
        signature=given["signature"],
        values=values,
        options=extra,
        python=given["remote_python"],
        hostname=given["hostname"],
        network=network,
        with_netplan=given["netplan"],
        login=given["login"],
    )
    if as_json:
        click.echo(json.dumps({**made._asdict(), "folder": str(made.folder)}))
        return
    click.echo(f"release  {made.release}")
    for path in made.files:
        click.echo(f"file     {path}")
    for warning in made.warnings:
        click.echo(f"warning  {warning}")
    click.echo(f"card     sudo cp -dR --preserve=mode {made.folder}/root/. /media/card/")
