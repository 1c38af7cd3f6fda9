"""The command line: quick help, one sentence for an error, the right exit code."""

import json
import subprocess
import sys

import pytest

from edgelane.cli.app import COMMANDS, run_cli


def test_help_names_every_command(capsys):
    assert run_cli(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in COMMANDS)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_explains_itself(name, capsys):
    assert run_cli([name, "--help"]) == 0
    assert "Usage: edgelane " + name in capsys.readouterr().out


def test_an_unknown_command_gets_the_nearest_one(capsys):
    assert run_cli(["relpay"]) == 2
    assert "did you mean 'replay'?" in capsys.readouterr().err


def test_an_unknown_option_is_misuse(capsys):
    assert run_cli(["run", "x.yaml", "--sauce", "y"]) == 2
    assert "--sauce" in capsys.readouterr().err


def test_an_error_is_one_sentence_without_a_traceback():
    done = subprocess.run(
        [sys.executable, "-m", "edgelane", "run", "missing.yaml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("Error: config missing.yaml does not exist")
    assert "Traceback" not in done.stderr and done.stderr.count("\n") == 1


def test_doctor_answers_in_words_and_in_json(capsys):
    code = run_cli(["doctor"])
    assert "python" in capsys.readouterr().out
    assert run_cli(["doctor", "--json"]) == code
    assert json.loads(capsys.readouterr().out)["ready"] == (code == 0)


def test_the_version_is_the_packages(capsys):
    import edgelane

    assert run_cli(["--version"]) == 0
    assert edgelane.__version__ in capsys.readouterr().out


def test_everything_public_can_be_reached_from_the_package():
    import edgelane

    assert all(callable(getattr(edgelane, name)) for name in edgelane.__all__)
    with pytest.raises(AttributeError, match="no attribute 'cuont'"):
        _ = edgelane.cuont
