"""`edgelane grr`: a table in, a verdict in words, a page and tables out."""

import json

import numpy as np
import pytest

from edgelane.cli.app import run_cli
from edgelane.core import Event
from edgelane.runtime.journal import Journal


def measured(path, noise=0.05, seed=0, shape=(10, 3, 3)):
    rng = np.random.default_rng(seed)
    values = rng.normal(0, 1, (shape[0], 1, 1)) + rng.normal(0, noise, shape)
    rows = ["part,operator,trial,value"]
    rows += [f"{p},{'ABC'[o]},{t},{values[p, o, t]:.6f}" for p, o, t in np.ndindex(*shape)]
    path.write_text("\n".join(rows))
    return str(path)


def judged(path):
    rows = ["part,operator,trial,verdict,reference"]
    for p, o, t in np.ndindex(20, 2, 2):
        truth = "fail" if p % 4 == 0 else "pass"
        said = "pass" if (p, o) == (4, 1) else truth
        rows.append(f"{p},{'AB'[o]},{t},{said},{truth}")
    path.write_text("\n".join(rows))
    return str(path)


@pytest.mark.parametrize("noise, verdict", [(0.03, "good"), (0.2, "marginal"), (2.0, "bad")])
def test_the_verdict_is_told_in_words(tmp_path, capsys, noise, verdict):
    assert run_cli(["grr", measured(tmp_path / "t.csv", noise)]) == 0
    out = capsys.readouterr().out
    assert f"verdict  {verdict}: " in out and "ndc" in out and "10 parts, 3 operators" in out


def test_a_page_and_tables_are_written_and_the_json_says_the_same(tmp_path, capsys):
    table, out = measured(tmp_path / "t.csv"), tmp_path / "new" / "folder"
    assert run_cli(["grr", table, "--tolerance", "2", "--json", "--out", str(out)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["grr_percent"] == found["grr_of_tolerance"] < 30
    names = sorted(p.name for p in out.iterdir())
    assert names == ["anova.csv", "grr.csv", "grr.html", "grr.json"]
    assert json.loads((out / "grr.json").read_text())["ndc"] == found["ndc"]
    assert f"{found['grr_of_total']:.3g} %" in (out / "grr.html").read_text(encoding="utf-8")


def test_verdicts_are_studied_too(tmp_path, capsys):
    table, out = judged(tmp_path / "t.csv"), tmp_path / "out"
    assert run_cli(["grr", "--attribute", table, "--out", str(out)]) == 0
    text = capsys.readouterr().out
    assert "misses 20.0% (2/10" in text and "verdict  bad" in text
    assert run_cli(["grr", "--attribute", table, "--json"]) == 0
    first = json.loads(capsys.readouterr().out)["operators"][0]
    assert (first["kappa_reference"], first["miss"]["count"]) == (1.0, 0)
    assert sorted(p.name for p in out.iterdir()) == ["attribute.csv", "grr.html", "grr.json"]


def test_a_camera_that_nobody_handles(tmp_path, capsys):
    table = measured(tmp_path / "t.csv", shape=(8, 1, 3))
    assert run_cli(["grr", table]) == 1
    assert "--no-operator" in capsys.readouterr().err
    assert run_cli(["grr", table, "--no-operator", "--method", "range"]) == 0
    assert "nobody handles it" in capsys.readouterr().out


@pytest.mark.parametrize(
    "content, said",
    [
        (b"", "the table is empty"),
        (b"part,operator,trial,value\n1,A,1,x\n", "line 2: the value is not a number"),
        (b"part;operator;value\n1;J\xfcrgen;1\n", "not UTF-8"),
        (b"\x00\x01\x02", "the table is not text"),
        (b"a,b\n1,2\n", "no column 'part'"),
    ],
)
def test_a_bad_table_is_one_sentence_and_leaves_nothing(tmp_path, capsys, content, said):
    table, out = tmp_path / "t.csv", tmp_path / "out"
    table.write_bytes(content)
    assert run_cli(["grr", str(table), "--out", str(out)]) == 1
    err = capsys.readouterr().err
    assert said in err and err.count("\n") == 1
    assert not out.exists()


@pytest.mark.parametrize(
    "options, said",
    [
        (["--tolerance", "0"], "must be above 0"),
        (["--tolerance", "nan"], "must be above 0"),
        (["--fail", "bad"], "--fail is for verdicts"),
        (["--attribute", "--tolerance", "1"], "measured values"),
    ],
)
def test_misuse_exits_with_2(tmp_path, capsys, options, said):
    assert run_cli(["grr", measured(tmp_path / "t.csv"), *options]) == 2
    assert said in capsys.readouterr().err


def test_what_is_no_file_is_told(tmp_path, capsys):
    assert run_cli(["grr", str(tmp_path / "none.csv")]) == 2
    assert "does not exist" in capsys.readouterr().err
    assert run_cli(["grr", str(tmp_path)]) == 2
    assert "is a folder" in capsys.readouterr().err
    table = measured(tmp_path / "t.csv")
    assert run_cli(["grr", table, "--out", table]) == 1
    assert "cannot be made" in capsys.readouterr().err


def ran(folder, values, unit="mm", limits=(11.5, 12.5)):
    """A run folder in which a bore was measured on each part."""
    folder.mkdir(parents=True)
    with Journal(folder / "events.db") as journal:
        for k, value in enumerate(values, 1):
            reasons = [{"name": "bore", "outcome": "pass", "value": value, "limits": list(limits),
                        "unit": unit},
                       {"name": "difference", "outcome": "pass", "value": 1.0 + k / 9,
                        "limits": [None, 9.0]}]  # fmt: skip
            payload = {"part": k, "serial": f"P{k:06d}", "verdict": "pass", "reasons": reasons}
            journal.write("camera", k, k / 10, [Event("camera", k / 10, "verdict", payload, k)])
    return str(folder)


def test_runs_of_the_same_parts_are_a_study_of_the_camera(tmp_path, capsys):
    rng = np.random.default_rng(3)
    values = 12 + rng.normal(0, 0.1, (10, 1)) + rng.normal(0, 0.005, (10, 3))
    runs = [ran(tmp_path / f"run{t}", values[:, t].tolist()) for t in range(3)]
    assert run_cli(["grr", *runs, "--json", "--out", str(tmp_path / "out")]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["parts"], found["operators"], found["trials"]) == (10, 1, 3)
    within = float(np.sqrt(values.var(axis=1, ddof=1).mean()))
    assert found["tolerance"] == 1.0 and found["verdict"] == "good"
    assert found["grr_of_tolerance"] == pytest.approx(600 * within, rel=1e-6)
    assert "in mm" in (tmp_path / "out" / "grr.html").read_text(encoding="utf-8")
    handled = [f"Ann={runs[0]}", f"Ann={runs[1]}", f"Bo={runs[2]}", f"Bo={runs[0]}"]
    assert run_cli(["grr", *handled, "--tolerance", "0.5"]) == 0
    out = capsys.readouterr().out
    assert "10 parts, 2 operators, 2 trials" in out and "of the tolerance of 0.5 mm" in out


def test_runs_that_make_no_study_are_one_sentence(tmp_path, capsys):
    run = ran(tmp_path / "a", [12.0, 12.1, 11.9])
    short = ran(tmp_path / "b", [12.0, 12.1])
    unmeasured = ran(tmp_path / "c", [12.0, None, 11.9])
    for arguments, code, said in (
        ([run, short], 1, "trial 2 of part 3 by operator camera is missing"),
        ([run, unmeasured], 1, "part 2 of"),
        ([run, run, "--gauge", "bor"], 2, "Did you mean 'bore'"),
        ([run, f"Bo={run}"], 2, "some runs name an operator"),
        ([run, str(tmp_path / "none")], 2, "is no run folder"),
        ([run, run, "--attribute"], 2, "edgelane agreement"),
        ([measured(tmp_path / "t.csv"), "--gauge", "bore"], 2, "--gauge is for runs"),
    ):
        assert run_cli(["grr", *arguments]) == code
        err = capsys.readouterr().err
        assert said in err and err.count("\n") == 1
