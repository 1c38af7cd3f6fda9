"""`edgelane agreement`: runs, pictures and people on the same parts, held against each other."""

import csv
import json

import pytest

from edgelane.cli.app import run_cli
from edgelane.core import Event
from edgelane.runtime.journal import Journal

TRUTH = {str(k): "fail" if k % 4 == 0 else "pass" for k in range(1, 25)}


def ran(folder, wrong=(), recipe="plate", version=1, count=24):
    """A run folder with a verdict for each part."""
    folder.mkdir(parents=True)
    with Journal(folder / "events.db") as journal:
        for k in range(1, count + 1):
            said = wrong[k] if k in wrong else TRUTH[str(k)]
            payload = {"part": k, "serial": f"P{k:06d}", "verdict": said, "reasons": [],
                       "recipe": recipe, "version": version, "recipe_hash": "0" * 16}  # fmt: skip
            journal.write("camera", k, k / 10, [Event("camera", k / 10, "verdict", payload, k)])
    return str(folder)


def table(path, header, rows):
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]))
    return str(path)


@pytest.fixture
def known(tmp_path):
    return table(tmp_path / "known.csv", "part,reference", TRUTH.items())


@pytest.fixture
def study(capsys):
    def study(*arguments, code=0):
        assert run_cli(["agreement", *arguments, "--json"]) == code
        said = capsys.readouterr()
        return json.loads(said.out) if not code else said.err

    return study


def test_two_runs_of_a_recipe_are_two_trials(tmp_path, known, study):
    runs = [ran(tmp_path / "a"), ran(tmp_path / "b", {4: "pass", 8: "unsure", 5: "fail"})]
    found = study(*runs, "--reference", known)
    (camera,) = found["operators"]
    assert (found["parts"], found["trials"], camera["name"]) == (24, 2, "plate v1")
    assert (camera["miss"]["count"], camera["miss"]["total"]) == (1, 12)
    assert (camera["false_alarm"]["count"], camera["false_alarm"]["total"]) == (1, 36)
    assert camera["repeated"]["count"] == camera["effective"]["count"] == 21
    assert 0 < camera["kappa_within"] < 1 and camera["verdict"] == "bad"
    # The line puts out what it is unsure of.
    counted = study(*runs, "--reference", known, "--unsure", "fail")["operators"][0]
    assert counted["effective"]["count"] == 22


def test_a_camera_beside_people_by_serial_number(tmp_path, study, capsys):
    rows = [
        (f"P{k:06d}", who, 1, "pass" if (k, who) == (4, "Bo") else TRUTH[str(k)], TRUTH[str(k)])
        for k in range(1, 25)
        for who in ("Ann", "Bo")
    ]
    people = table(tmp_path / "people.csv", "part,operator,trial,verdict,reference", rows)
    run = ran(tmp_path / "a", {1: "fail"})
    found = study(f"camera={run}", people)
    assert [o["name"] for o in found["operators"]] == ["camera", "Ann", "Bo"]
    assert [o["miss"]["count"] for o in found["operators"]] == [0, 0, 1]
    assert [o["false_alarm"]["count"] for o in found["operators"]] == [1, 0, 0]
    assert len(found["between"]) == 3 and found["effective"]["count"] == 22
    assert run_cli(["agreement", run, people, "--out", str(tmp_path / "out")]) == 0
    out = capsys.readouterr().out
    assert "operator Bo: kappa 0.88, right 95.8%" in out and "verdict  bad" in out
    files = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert files == ["agreement.html", "agreement.json", "attribute.csv"]
    with open(tmp_path / "out" / "attribute.csv", newline="") as file:
        assert [row["miss_count"] for row in csv.DictReader(file)] == ["0", "0", "1"]


def test_lines_of_inspect_and_labelled_folders(tmp_path, study):
    for part, said in TRUTH.items():
        (tmp_path / "known" / said).mkdir(parents=True, exist_ok=True)
        (tmp_path / "known" / said / f"{part}.png").touch()
    for name, wrong in (("old", {4: "pass"}), ("new", {})):
        lines = [{"image": f"somewhere/{p}.png", "verdict": wrong.get(int(p), said), "score": 0}
                 for p, said in TRUTH.items()]  # fmt: skip
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    found = study(str(tmp_path / "old.jsonl"), str(tmp_path / "new.jsonl"),
                  "--reference", str(tmp_path / "known"))  # fmt: skip
    assert [(o["name"], o["verdict"]) for o in found["operators"]] == [
        ("old", "bad"), ("new", "good"),
    ]  # fmt: skip


def test_without_a_reference_verdicts_are_held_against_each_other(tmp_path, study):
    runs = [ran(tmp_path / "a"), ran(tmp_path / "b", {4: "pass"}, version=2)]
    found = study(*runs)
    assert [o["name"] for o in found["operators"]] == ["plate v1", "plate v2"]
    assert found["effective"] is None and found["agreed"]["count"] == 23
    assert any("all be wrong" in w for w in found["warnings"])


def test_what_cannot_be_compared_is_one_sentence(tmp_path, known, study):
    run, short = ran(tmp_path / "a"), ran(tmp_path / "b", count=20)
    assert "trial 2 of part 21 by operator plate v1 is missing" in study(run, short, code=1)
    few = table(tmp_path / "few.csv", "part,reference", list(TRUTH.items())[:20])
    said = study(run, "--reference", few, code=1)
    assert "4 of 24 parts have no reference: got 21, 22, 23 …" in said
    (tmp_path / "empty").mkdir()
    assert "events.db" in study(str(tmp_path / "empty"), code=1)
    assert "does not exist" in study(str(tmp_path / "none.csv"), code=2)
    (tmp_path / "x.jsonl").write_text("{}\n")
    assert "line 1 of" in study(str(tmp_path / "x.jsonl"), code=1)
    assert "names its operators itself" in study(f"me={known}", code=2)
