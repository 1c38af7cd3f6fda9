"""The command group, and how an error reaches the terminal."""

import sys
from importlib import import_module
from typing import Dict, List, Optional

import click

from .. import __version__
from ..core.errors import EdgelaneError, did_you_mean

COMMANDS: Dict[str, str] = {
    "demo": "Count a rendered store beside its truth: no camera, model or network.",
    "run": "Count what a model sees in a video or camera.",
    "replay": "The same pipeline on recorded detections.",
    "report": "Write the report of a run anew.",
    "totals": "Counts by the hour or day, marked where they are a lower bound.",
    "check": "Does this model see what it should: pictures and warnings.",
    "models": "Well-known models: list them, or get one.",
    "export": "A trained model as one ONNX with its card, proved equal.",
    "calibrate": "A model to INT8: Q/DQ ONNX and calibration cache from pictures.",
    "lint": "What keeps a quantised model from being a good INT8 engine.",
    "build": "An engine for the machine that will run it, or its plan.",
    "profile": "How fast and how right: measured here, estimated for every Jetson.",
    "wheels": "All wheels that a device needs, so that it needs no network.",
    "bundle": "A config with everything it needs, in one signed file.",
    "flash": "A bundle goes to a device over ssh, to many in waves, or onto a card.",
    "install": "A bundle becomes the release that runs, or nothing changes.",
    "start": "The release that is installed here, as its service starts it.",
    "probation": "A new release is watched, and taken back if it does worse.",
    "selftest": "A release proves itself: engines, golden clip, cameras.",
    "rollback": "The last good release runs again.",
    "keys": "Who signs bundles, and whose bundles a device takes.",
    "secret": "Passwords of cameras, kept on the device and nowhere else.",
    "calibrate-camera": "Pixels to millimetres, from pictures of a printed board.",
    "teach": "A recipe from good parts: what to check, and within which limits.",
    "inspect": "Parts against golden ones: pass, fail or unsure, and why.",
    "challenge": "Known parts: do they come out of a recipe as known?",
    "agreement": "Attribute agreement: do verdicts repeat, agree, and are they right?",
    "grr": "Gauge R&R: how much of what is measured is the gauge; agreement of verdicts.",
    "soak": "How a run takes faults: cameras killed, stopped, cut; and the verdict.",
    "status": "The cameras of a run, as a live table.",
    "doctor": "What this machine is, what it lacks, what to do about it.",
}


class Group(click.Group):
    """Imports a command's module when the command is called, so that `--help` stays quick."""

    def list_commands(self, ctx: click.Context) -> List[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> Optional[click.Command]:
        if cmd_name not in COMMANDS:
            return None
        return import_module("." + cmd_name.replace("-", "_"), __package__).command

    def resolve_command(self, ctx: click.Context, args: List[str]):
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            raise click.UsageError(
                f"no command {args[0]!r}; {did_you_mean(args[0], COMMANDS)}", ctx=ctx
            )
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="edgelane")
def cli() -> None:
    """From a trained vision model to a camera that can be trusted.

    Every command takes --help.
    """


def run_cli(arguments: Optional[List[str]] = None) -> int:
    """Run one command line and give its exit code; errors are one sentence on stderr."""
    try:
        code = cli.main(args=arguments, prog_name="edgelane", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except click.exceptions.Abort:
        click.echo("Stopped.", err=True)
        return 130
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except EdgelaneError as error:
        click.echo(f"Error: {error}", err=True)
        return error.exit_code
    except BrokenPipeError:
        # The reader went away (`edgelane … | head`); the interpreter would complain at exit.
        sys.stdout = None  # type: ignore[assignment]
        return 1
    except (OSError, MemoryError) as error:
        click.echo(f"Error: {error or type(error).__name__}.", err=True)
        return 1
