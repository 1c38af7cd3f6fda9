"""A device that answers what it must not: one sentence, and nothing is written at the desk."""

import json
import sys

import pytest
from loopback import executable

from edgelane.core import EdgelaneError
from edgelane.deploy.answers import Told, plain, understood
from edgelane.deploy.bare.facts import facts
from edgelane.deploy.far import Far
from edgelane.deploy.flash import flash, look
from edgelane.deploy.preflight import read_facts


def liar(tmp_path, answers):
    """An ssh behind which a device says these lines, one for each that it is asked."""
    script = tmp_path / "liar.py"
    script.write_text(
        "import sys\n"
        "i = sys.stdin.buffer\n"
        "i.read(int(i.readline().split()[1]))\n"
        f"print({json.dumps({'edgelane': 1})!r}, flush=True)\n"
        f"for line in {list(answers)!r}:\n"
        "    i.readline()\n"
        "    print(line, flush=True)\n"
    )
    return [str(executable(tmp_path / "ssh", f"exec {sys.executable} {script}"))]


def test_what_it_tells_cannot_choose_where_it_is_written(tmp_path):
    told = facts(str(tmp_path))
    evil = tmp_path / "evil"
    told["files"] = {
        str(evil): "x",
        "../../../evil": "x",
        "etc/nv_tegra_release": "# R35 (release)",
    }
    read_facts("x", understood(told, Told, "x"))
    assert not evil.exists() and not (tmp_path.parent / "evil").exists()


WRONG = [
    {},
    {"python": "3.8"},
    {"free": "much"},
    {"trust": {"keys": [], "revoked": [], "there": True}},
    {"files": {"a": 1}},
    {"release": 7},
]


@pytest.mark.parametrize("change", WRONG)
def test_facts_that_make_no_sense_are_told(tmp_path, change):
    told = {**facts(str(tmp_path)), **change} if change else {}
    with pytest.raises(EdgelaneError, match="answers what makes no sense"):
        look("edge@x", ssh=liar(tmp_path, [json.dumps(told)]))


@pytest.mark.parametrize("line", ["{", "[1]", "7", '"x"', "null"])
def test_what_is_no_answer_is_passed_over_until_the_end(tmp_path, line):
    with pytest.raises(EdgelaneError, match="was cut"):
        look("edge@x", ssh=liar(tmp_path, [line]))


def test_what_it_says_cannot_steer_the_terminal(tmp_path, shop):
    answer = json.dumps({"error": "\x1b[2Jall is\r\nwell\x07", "kind": "refused"})
    with pytest.raises(EdgelaneError) as caught:
        flash("edge@x", shop.bundle(1), ssh=liar(tmp_path, [answer]), retries=0)
    assert plain(str(caught.value)) == str(caught.value) and "all is" in str(caught.value)
    lines = '{"says": "\\u001b[31mred"}\n{}'
    with Far("edge@x", ssh=liar(tmp_path, [lines])) as far:
        said = []
        far.work("lock", said.append)
        assert said == [" [31mred"]
