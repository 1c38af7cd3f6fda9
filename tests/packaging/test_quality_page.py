"""Every command of the page on quality works as it stands there."""

import csv
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "quality.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
BAD = (3, 7)


def plate(seed, bore=24.0, spot=False):
    """A plate with a bore, `(96, 128, 3)` uint8."""
    cv2 = pytest.importorskip("cv2")
    fine = np.full((96 * 8, 128 * 8), 45, np.uint8)
    cv2.rectangle(fine, (14 * 8, 12 * 8), (114 * 8, 84 * 8), 140, -1)
    cv2.circle(fine, (64 * 8, 48 * 8), round(bore * 4), 30, -1)
    if spot:
        cv2.circle(fine, (35 * 8, 70 * 8), 40, 230, -1)
    image = cv2.resize(fine, (128, 96), interpolation=cv2.INTER_AREA).astype(float)
    noise = np.random.RandomState(seed).normal(0, 1.5, image.shape)
    image = cv2.GaussianBlur(image, (0, 0), 0.8) + noise
    return cv2.merge([np.clip(image, 0, 255).astype(np.uint8)] * 3)


@pytest.fixture
def works(tmp_path):
    """The folders that the page speaks of."""
    cv2 = pytest.importorskip("cv2")
    pytest.importorskip("nacl")

    def write(name, seeds, **look):
        (tmp_path / name).mkdir(parents=True)
        for k, seed in enumerate(seeds, 1):
            cv2.imwrite(str(tmp_path / name / f"m{k:02d}.png"), plate(seed, **look))

    write("good", range(14))
    write("masters", range(100, 105))
    write("known/pass", range(200, 203))
    write("known/fail", range(210, 212), spot=True)
    (tmp_path / "line").mkdir()
    bores = np.random.RandomState(1).normal(24, 0.12, 10)
    for k, bore in enumerate(bores, 1):
        picture = plate(300 + k, bore, k in BAD)
        cv2.imwrite(str(tmp_path / "line" / f"{k:02d}.png"), picture)
    truth = {k: "fail" if k in BAD else "pass" for k in range(1, 11)}

    def table(name, header, rows):
        text = "\n".join([header, *(",".join(map(str, row)) for row in rows)])
        (tmp_path / name).write_text(text)

    sizes = [(f"m{k:02d}.png", "bore", 24.0) for k in range(1, 6)]
    table("masters/sizes.csv", "image,gauge,value", sizes)
    table("known.csv", "part,reference", truth.items())
    people = [(f"P{k:06d}", who, 1, said, said) for k, said in truth.items() for who in "AB"]
    table("people.csv", "part,operator,trial,verdict,reference", people)
    (config,) = [text for name, text in BLOCKS if name == "yaml"]
    (tmp_path / "plate.yaml").write_text(config, encoding="utf-8")
    return tmp_path


@pytest.mark.slow
def test_every_command_of_the_page_works(works):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    commands = [line for name, text in BLOCKS if name == "sh" for line in text.splitlines()]
    assert len(commands) == 13
    said = {}
    for command in commands:
        done = subprocess.run(
            ["bash", "-c", command], cwd=works, env={**os.environ, "PATH": path},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        said[" ".join(command.split()[:3])] = done.stdout
    assert "master   bore:" in said["edgelane teach plate.yaml"]
    assert "10 parts, nobody handles it, 3 trials" in said["edgelane grr runs/trial-1"]
    assert "misses 0.0%" in said["edgelane agreement camera=runs/trial-1"]
    assert "verdicts as they must be" in said["edgelane install plate-1.edgelane"]
    folder = works / "runs" / "trial-1" / "tables"
    told = set(re.findall(r"^\| (`.*?`)(?:, (`.*?`))? \|", PAGE, re.MULTILINE))
    names = {name.strip("`").replace("NAME", "bore") for pair in told for name in pair if name}
    assert names <= {p.name for p in folder.iterdir()} and len(names) == 7
    for table in folder.iterdir():
        with open(table, newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))
        assert len({len(row) for row in rows}) == 1 and all(rows[0])
