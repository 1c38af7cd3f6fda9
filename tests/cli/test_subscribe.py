"""Functions that a config subscribes to events."""

import pytest

from edgelane.cli.app import run_cli

MODULE = """
def hear(event):
    with open("heard.txt", "a") as file:
        print(event.kind, file=file)

number = 3
"""
CONFIG = "pipeline: detection\nreference_size: [100, 100]\nsubscribe: {subscribe}\n"


@pytest.fixture
def desk(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = f"hearing_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    rows = [f"{k + 1},-1,{10 + k},10,20,40,0.9,-1,-1,-1" for k in range(20)]
    (tmp_path / "det.txt").write_text("\n".join(rows) + "\n")

    def replay(subscribe, out="run"):
        (tmp_path / "c.yaml").write_text(
            CONFIG.format(subscribe=subscribe.replace("hearing", name))
        )
        words = ["replay", "c.yaml", "--detections", "det.txt", "--fps", "10", "--quiet"]
        return run_cli([*words, "--out", out])

    return tmp_path, replay


def test_each_event_of_the_kind_is_heard(desk):
    folder, replay = desk
    assert replay("{object: hearing:hear, crossing: hearing:hear}") == 0
    assert (folder / "heard.txt").read_text().split() == ["object"]
    assert replay('{"*": [hearing:hear, hearing:hear]}', "again") == 0
    assert (folder / "heard.txt").read_text().split() == ["object"] * 3


@pytest.mark.parametrize(
    "subscribe, message",
    [
        ("{object: hearing:here}", "has no 'here'"),
        ("{object: hearing:number}", "cannot be called"),
        ("{object: 3}", "subscribe"),
        ("[hearing:hear]", "subscribe"),
    ],
)
def test_what_cannot_be_called_is_told_before_anything_runs(desk, capsys, subscribe, message):
    folder, replay = desk
    assert replay(subscribe) == 2
    assert message in capsys.readouterr().err
    assert not (folder / "run").exists()
