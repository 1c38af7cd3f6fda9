"""Anomaly learnt from good tiles alone, judged on tiles that were not learnt from.

python -m edgelane.benchmarks.anomaly [FOLDER] [--labelled 20] [--minutes 5]

The folder holds `MT_Free` and other `MT_*` folders of `.jpg` pictures, each with its defect's mask
as `.png` (magnetic tiles, Huang et al. 2018). The free tiles are split into folds; a model of the
others scores the fold's tiles and every defective one, and figures are means over the folds. The
method is the one that `learn` chooses by made-up defects; no label has a part in it.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ..core import DataError, ModelCard
from ..export.anomaly import learn
from ..export.anomaly.calibrate import auroc
from ..export.anomaly.maps import (
    LOW,
    bounds,
    spread,
    top_means,
)
from ..export.anomaly.parts import Parts, choose_input, placed, read_masks, read_parts
from ..export.anomaly.settle import checked, settle, try_all
from ..export.anomaly.trial import FOLDS, Workbench
from ..runtime.inspect.judging.anomaly import load_anomaly
from ..runtime.sources.base import load_cv2
from ..runtime.synth import open_scene
from .anomaly_commands import by_commands, table

FREE = "MT_Free"


def read_tiles(folder: Path) -> Tuple[List[Path], List[Path], List[str]]:
    """Free tiles, defective tiles, and the defective ones' types.

    Raises:
        DataError: There are none.
    """
    free = sorted((folder / FREE).glob("*.jpg"))
    bad = sorted(p for p in folder.glob("MT_*/*.jpg") if p.parent.name != FREE)
    if not free or not bad:
        raise DataError(f"{folder} holds no tiles", expected=f"{FREE} and other MT_* folders")
    return free, bad, [p.parent.name[3:] for p in bad]


def no_parts(spec: Any) -> Parts:
    """No defective parts at all."""
    return placed([], [], spec)


class Fold(NamedTuple):
    """What one fold's model says.

    Attributes:
        good: `(n, gh, gw)` raw maps of the free tiles of the fold.
        tested: `(m, gh, gw)` of the defective tiles.
    """

    good: np.ndarray
    tested: np.ndarray


def fold_of(bench: Workbench, method: Any, folds: Sequence[int], tested: Sequence[Any]) -> Fold:
    """A method that has not seen some folds, on their free tiles and on defective ones."""
    held = [g for g, f in zip(bench.looked, bench.fold) if f in folds]
    maps = [
        np.array([np.where(g.valid, method.heat(g), LOW) for g in looked], np.float32)
        for looked in (held, tested)
    ]
    return Fold(maps[0], maps[1])


Row = Tuple[np.ndarray, np.ndarray]


def scores_of(folds: Sequence[Fold], top: int) -> List[Row]:
    """Image scores of each fold: of its free tiles, and of the defective ones."""
    return [(top_means(f.good, top), top_means(f.tested, top)) for f in folds]


class Pixels(NamedTuple):
    """AUROC of places of the map, means over the folds.

    Attributes:
        together: All places of all tiles together, free ones too.
        defective: All places of the defective tiles together.
        alone: Mean over defective tiles of each one's own.
    """

    together: float
    defective: float
    alone: float


def pixels(folds: Sequence[Fold], tested: Sequence[Any], judged: Sequence[int]) -> Pixels:
    """AUROC of places of the map against the masks."""
    rows = []
    marked = [i for i in judged if tested[i].defect is not None and tested[i].defect.any()]
    for fold in folds:
        ends = bounds(fold.good)
        bad, good = spread(fold.tested, ends), spread(fold.good, ends)
        inside = [bad[i][tested[i].defect] for i in marked]
        outside = [bad[i][~tested[i].defect] for i in marked]
        wrong, sound = np.concatenate(inside), np.concatenate(outside)
        rows.append((
            auroc(wrong, np.concatenate([sound, good.ravel()])),
            auroc(wrong, sound),
            np.mean([auroc(i, o) for i, o in zip(inside, outside) if len(o)]),
        ))  # fmt: skip
    return Pixels(*np.mean(rows, axis=0).tolist())


def interval(
    rows: Sequence[Row],
    chosen: np.ndarray,
    seed: int = 0,
    rounds: int = 1000,
) -> Tuple[float, float, float]:
    """Mean AUROC over the folds and its 95 % bootstrap interval; tiles are drawn anew."""
    random = np.random.default_rng(seed)
    value = float(np.mean([auroc(bad[chosen], good) for good, bad in rows]))
    found = []
    for _ in range(rounds):
        again = random.choice(chosen, len(chosen))
        found.append(
            np.mean([auroc(bad[again], random.choice(good, len(good))) for good, bad in rows])
        )
    return value, float(np.quantile(found, 0.025)), float(np.quantile(found, 0.975))


def tiles(
    folder: Path, minutes: float = 5.0, labelled: int = 20, draws: int = 2, seed: int = 0
) -> Dict[str, Any]:
    """Everything that is measured on tiles."""
    free, bad, types = read_tiles(folder)
    cpu = time.process_time()
    names, images = read_parts(free, "good")
    bad_names, bad_images = read_parts(bad, "defective")
    spec = choose_input(images, (256, 256))
    good, others = placed(names, images, spec), placed(bad_names, bad_images, spec)
    masks, _ = read_masks([p.with_suffix(".png") for p in bad], others, spec)
    bench = Workbench(good, no_parts(spec), [], False, False, seed, _told, minutes)
    tested = [bench.look(image, mask) for image, mask in zip(others.images, masks)]
    found: Dict[str, List[Fold]] = {}

    def seen(method: Any, folds: Sequence[int]) -> None:
        found.setdefault(method.name, []).append(fold_of(bench, method, folds, tested))

    outcomes = try_all(bench, ["statistics", "discriminator"], False, _told, seen)
    made = settle(bench, outcomes, 0.01, _told)
    card = ModelCard("anomaly", "anomaly", spec, extra={"anomaly": {}})
    model, parity = checked(made.tape, made.score, made.heat, card, good, others)
    name, top = made.best.name, made.best.top
    judged = found[name]
    rows, kinds = scores_of(judged, top), np.array(types)
    everything = np.arange(len(bad))
    result: Dict[str, Any] = {
        "free": len(free),
        "defective": len(bad),
        "candidates": [o.report for o in outcomes],
        "chosen": name,
        "parity": parity,
        "image": interval(rows, everything),
        "by_type": {k: interval(rows, np.flatnonzero(kinds == k)) for k in sorted(set(types))},
        "pixel": pixels(judged, tested, everything.tolist()),
        "rejected": _rejected(made, rows),
        "minutes": (time.process_time() - cpu) / 60,
    }
    if labelled:
        result["labelled"] = [
            with_labels(bench, name, top, others, masks, tested, labelled, (seed, draw))
            for draw in range(draws)
        ]
    path = Path(temporary(model))
    result["time_ms"] = verdict_time(path, images)
    path.unlink()
    return result


def _told(share: float, text: str) -> None:
    print(f"{text} ({time.process_time():.0f} s of CPU)", file=sys.stderr, flush=True)


def _rejected(made: Any, rows: Sequence[Row]) -> Dict[str, float]:
    """Share of free and of defective tiles above the threshold for 1 % of the good ones, and of
    the defective above what 5 % of the free tiles of the same fold are above."""
    good, bad = (np.concatenate(group) for group in zip(*rows))
    return {
        "good": float(np.mean(good >= made.cut)),
        "bad": float(np.mean(bad >= made.cut)),
        "bad_at_5": float(np.mean([np.mean(b > np.quantile(g, 0.95)) for g, b in rows])),
    }


def with_labels(
    bench: Workbench,
    name: str,
    top: int,
    others: Parts,
    masks: Sequence[Any],
    tested: Sequence[Any],
    labelled: int,
    seed: Tuple[int, int],
) -> Dict[str, Any]:
    """The same with some defective tiles taught as well, which are judged no more."""
    random = np.random.default_rng(seed)
    taught = random.choice(len(tested), labelled, replace=False)
    bench.teach(
        Parts(*([column[i] for i in taught] for column in others)), [masks[i] for i in taught]
    )
    bench.bad_fold[:] = -1  # all of them are learnt from in every fold
    folds: List[Fold] = []

    def seen(method: Any, without: Sequence[int]) -> None:
        _told(1.0, f"learnt with {labelled} defects")
        folds.append(fold_of(bench, method, without, tested))

    bench.judge(name, seen=seen)
    rest = np.setdiff1d(np.arange(len(tested)), taught)
    return {
        "taught": labelled,
        "image": interval(scores_of(folds, top), rest),
        "pixel": pixels(folds, tested, rest.tolist()),
    }


def temporary(model: Any) -> str:
    """A temporary file with the model."""
    with tempfile.NamedTemporaryFile(suffix=".onnx", delete=False) as file:
        file.write(model.SerializeToString())
    return file.name


def verdict_time(path: Path, images: Sequence[np.ndarray], rounds: int = 300) -> Dict[str, float]:
    """Milliseconds from a 256 × 256 picture to its score, map and boxes on one core."""
    cv2 = load_cv2()
    small = [cv2.resize(i, (256, 256)) for i in images[:20]]
    times, cpu = [], []
    with load_anomaly(path, threads=1) as anomaly:
        for number in range(rounds + 20):
            began, used = time.perf_counter(), time.process_time()
            _, heat = anomaly(small[number % len(small)])
            anomaly.boxes(heat)
            times.append(time.perf_counter() - began)
            cpu.append(time.process_time() - used)
    middle, worst = np.quantile(times[20:], (0.5, 0.99)) * 1e3
    return {"median": float(middle), "p99": float(worst), "ratio": float(worst / middle),
            "cpu_median": float(np.median(cpu[20:]) * 1e3)}  # fmt: skip


def conveyor_parts(
    kind: str, good: int, tested: int, seed: int = 3
) -> Tuple[List[np.ndarray], List[np.ndarray], List[str]]:
    """Parts of the rendered conveyor, each turned upright and cut out: `(96, 96, 3)` uint8.

    Returns:
        Good ones to learn from; others, and the defect of each or `none`.
    """
    cv2 = load_cv2()
    scene: Any = open_scene("bench", seed=seed, part=kind, defects=0.4, seconds=600)
    taught: List[np.ndarray] = []
    rest: List[np.ndarray] = []
    defects: List[str] = []
    seen, index = set(), 0
    middle = scene.size[0] / 2
    while len(taught) < good or len(rest) < tested:
        truth = scene.truth(index)
        for k in np.flatnonzero(truth.visibility == 1):
            number = int(truth.track_id[k])
            x1, y1, x2, y2 = truth.xyxy[k]
            if number in seen or abs((x1 + x2) / 2 - middle) > 0.05 * scene.size[0]:
                continue
            seen.add(number)
            side = 1.5 * float(np.max(scene_length(scene, truth, int(k))))
            turn = cv2.getRotationMatrix2D(
                (float(x1 + x2) / 2, float(y1 + y2) / 2),
                float(np.degrees(truth.angle[k])),
                96 / side,
            )
            turn[:, 2] += (48 - (x1 + x2) / 2, 48 - (y1 + y2) / 2)
            image = scene.render(index)[0].image
            crop = cv2.warpAffine(image, turn, (96, 96), flags=cv2.INTER_AREA)
            if truth.defect[k] == "none" and len(taught) < good:
                taught.append(crop)
            else:
                rest.append(crop)
                defects.append(truth.defect[k])
        index += 1
    return taught, rest, defects


def scene_length(scene: Any, truth: Any, k: int) -> np.ndarray:
    """Nominal length and width of a part in pixels of the picture."""
    return truth.nominal[k] / scene.height_mm * scene.camera_matrix[0, 0]


def conveyor(kind: str, good: int = 40, tested: int = 120) -> Dict[str, Any]:
    """Good parts of the conveyor learnt, others judged, by defect."""
    taught, rest, defects = conveyor_parts(kind, good, tested)
    learnt = learn(taught, size=(96, 96), minutes=1.0)
    path = Path(temporary(learnt.onnx))
    with load_anomaly(path, threads=1) as anomaly:
        scores = np.array([anomaly(image)[0] for image in rest])
    path.unlink()
    names = np.array(defects)
    sound = scores[names == "none"]
    bad = sorted(set(defects) - {"none"})
    return {
        "kind": kind,
        "good": len(taught),
        "tested": len(rest),
        "chosen": learnt.report["chosen"],
        "rejected": float((sound >= 1).mean()),
        "image": auroc(scores[names != "none"], sound),
        "by_defect": {d: auroc(scores[names == d], sound) for d in bad},
    }


def told(pixel: Pixels) -> str:
    """The three figures in words."""
    return (
        f"{pixel.together:.3f} over all tiles together, {pixel.defective:.3f} over the defective "
        f"ones, {pixel.alone:.3f} tile by tile"
    )


def main(arguments: Optional[Sequence[str]] = None) -> Dict[str, Any]:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m edgelane.benchmarks.anomaly")
    parser.add_argument("folder", nargs="?", default="../shared/data/qi/magtile", type=Path)
    parser.add_argument("--minutes", type=float, default=5.0, help="for training")
    parser.add_argument("--labelled", type=int, default=20, help="defects taught in the second run")
    parser.add_argument("--draws", type=int, default=1, help="of labelled defects")
    parser.add_argument("--parts", nargs="*", default=["bracket"], help="rendered parts tried too")
    parser.add_argument("--folds", type=int, default=2, help="tried by the commands, of four")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    load_cv2().setNumThreads(1)
    result = tiles(options.folder, options.minutes, options.labelled, options.draws)
    result["conveyor"] = [conveyor(kind) for kind in options.parts]
    free, bad, _ = read_tiles(options.folder)
    result["commands"] = [
        by_commands(free, bad, range(options.folds), labelled)
        for labelled in sorted({0, options.labelled})
        if options.folds
    ]
    if options.json:
        print(json.dumps(result, indent=2))
        return result
    print(
        f"{result['free']} free tiles, {result['defective']} defective, {FOLDS} folds of the free"
    )
    print("candidate        AUROC on made-up defects")
    for tried in result["candidates"]:
        low, high = tried["auroc_interval"]
        print(f"{tried['name']:<16} {tried['auroc']:.3f}  [{low:.3f}, {high:.3f}]")
    print(f"chosen {result['chosen']}; parity {result['parity']:.1e}")
    print("defects          image AUROC, 95 % interval")
    for kind, row in (("all", result["image"]), *result["by_type"].items()):
        print(f"{kind:<16} {row[0]:.3f}  [{row[1]:.3f}, {row[2]:.3f}]")
    print(f"pixel AUROC      {told(result['pixel'])}")
    rejected = result["rejected"]
    print(
        f"threshold for 1 % of good ones: {rejected['good']:.3f} of the free tiles above it, "
        f"{rejected['bad']:.3f} of the defective; where 5 % of the free are, "
        f"{rejected['bad_at_5']:.3f} of the defective"
    )
    for found in result.get("labelled", []):
        value, low, high = found["image"]
        print(
            f"with {found['taught']} defects taught: image {value:.3f}  [{low:.3f}, {high:.3f}], "
            f"pixel {told(found['pixel'])}"
        )
    spent = result["time_ms"]
    print(
        f"256 x 256 verdict, one core: median {spent['median']:.1f} ms, p99 {spent['p99']:.1f} ms "
        f"({spent['ratio']:.2f} times), {spent['cpu_median']:.1f} ms of CPU"
    )
    print(f"folds learnt and judged in {result['minutes']:.1f} minutes of CPU")
    for row in result["conveyor"]:
        each = ", ".join(f"{d} {v:.2f}" for d, v in row["by_defect"].items())
        print(
            f"rendered {row['kind']}: {row['good']} good ones learnt ({row['chosen']}), "
            f"{row['tested']} others: image AUROC {row['image']:.3f} ({each}), "
            f"{100 * row['rejected']:.1f} % of the good ones above the threshold"
        )
    if result["commands"]:
        print("\n".join(table(result["commands"])))
    return result


if __name__ == "__main__":
    main()
