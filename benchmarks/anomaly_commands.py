"""The same tiles by the commands that a user has: `edgelane teach`, then `edgelane inspect --json`.

The recipe says `pipeline: inspection` and nothing else.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np

from ..core import DataError
from ..export.anomaly.calibrate import auroc

FOLDS = 4


def run(*arguments: str) -> str:
    """What a command prints.

    Raises:
        DataError: It fails.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "edgelane", *arguments],
        capture_output=True, text=True, env=environment,
    )  # fmt: skip
    if done.returncode:
        raise DataError(f"edgelane {arguments[0]} fails", got=done.stderr.strip()[-500:])
    return done.stdout


def judged(folder: Path, recipe: str) -> List[Dict[str, Any]]:
    """The line of each picture in a folder."""
    text = run("inspect", str(folder), "--recipe", recipe, "--json")
    return [json.loads(line) for line in text.splitlines()]


def scores(lines: Sequence[Dict[str, Any]]) -> np.ndarray:
    """`(n,)`; what has no score counts as the worst there is."""
    return np.array([np.inf if line["score"] is None else line["score"] for line in lines])


def copied(paths: Sequence[Path], folder: Path) -> Path:
    """A folder with these pictures."""
    folder.mkdir(parents=True)
    for path in paths:
        shutil.copy(path, folder / path.name)
    return folder


def one_fold(
    free: Sequence[Path], bad: Sequence[Path], fold: int, labelled: int, minutes: float, seed: int
) -> Dict[str, Any]:
    """A recipe taught with the free tiles of the other folds, on the tiles that it has not seen."""
    random = np.random.default_rng(seed)
    of_fold = random.permutation(np.arange(len(free)) % FOLDS)
    shown = set(random.choice(len(bad), labelled, replace=False).tolist())
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        recipe = place / "tile.yaml"
        recipe.write_text("pipeline: inspection\n", encoding="utf-8")
        good = copied([p for p, f in zip(free, of_fold) if f != fold], place / "good")
        held = copied([p for p, f in zip(free, of_fold) if f == fold], place / "held")
        rest = copied([p for k, p in enumerate(bad) if k not in shown], place / "rest")
        given = ["--good", str(good), "--minutes", f"{minutes:g}", "--json", "--quiet"]
        if labelled:
            known = [bad[k] for k in sorted(shown)]
            copied(known, place / "bad")
            copied([p.with_suffix(".png") for p in known], place / "bad" / "masks")
            given += ["--bad", str(place / "bad")]
        lesson = json.loads(run("teach", str(recipe), *given))
        lines = judged(held, lesson["recipe"]), judged(rest, lesson["recipe"])
    sound, wrong = (scores(group) for group in lines)
    shares = [
        tuple(float(np.mean([line["verdict"] == v for line in group])) for v in ("fail", "unsure"))
        for group in lines
    ]
    return {
        "kept": lesson["surface"][0]["name"],
        "image": auroc(wrong, sound),
        "without_score": sum(line["score"] is None for group in lines for line in group),
        "good_failed": shares[0][0], "good_unsure": shares[0][1],
        "bad_failed": shares[1][0], "bad_unsure": shares[1][1],
    }  # fmt: skip


def by_commands(
    free: Sequence[Path], bad: Sequence[Path], folds: Sequence[int] = (0, 1), labelled: int = 0,
    minutes: float = 2.0, seed: int = 0,
) -> Dict[str, Any]:  # fmt: skip
    """Means over some of the folds.

    Args:
        free: Pictures of free tiles.
        bad: Of defective ones, each with a mask beside it.
        folds: Which of the four are held out, one after the other.
        labelled: Defective tiles that are taught with their masks, and not judged.
        minutes: For learning.
        seed: Of the folds and of which defects are taught.
    """
    rows = [one_fold(free, bad, fold, labelled, minutes, seed) for fold in folds]
    found: Dict[str, Any] = {"folds": len(rows), "labelled": labelled}
    for key in rows[0]:
        if key == "kept":
            found[key] = ", ".join(sorted({row[key] for row in rows}))
        else:
            found[key] = float(np.mean([row[key] for row in rows]))
    return found


def table(rows: Sequence[Dict[str, Any]]) -> Tuple[str, ...]:
    """Lines for people."""
    lines = [
        "by the commands    image AUROC  good failed, unsure  defective failed, unsure  no score"
    ]
    for row in rows:
        taught = f"{row['labelled']} defects taught" if row["labelled"] else "good ones alone"
        lines.append(
            f"{taught:<18} {row['image']:.3f}        {row['good_failed']:.3f}, "
            f"{row['good_unsure']:.3f}         {row['bad_failed']:.3f}, {row['bad_unsure']:.3f}"
            f"              {row['without_score']:g}   ({row['kept']}, {row['folds']} folds)"
        )
    return tuple(lines)
