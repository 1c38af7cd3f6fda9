"""Anomaly learnt from good tiles alone, judged on tiles that were not learnt from.

python -m edgelane.benchmarks.anomaly [FOLDER] [--labelled 20] [--minutes 5]

The folder holds `MT_Free` and other `MT_*` folders of `.jpg` pictures, each with its defect's mask
as `.png` (magnetic tiles, Huang et al. 2018). The free tiles are split into folds; a model of the
others scores the fold's tiles and every defective one, and figures are means over the folds. The
method is the one that `learn` chooses by made-up defects; no label has a part in it.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np

from ..core import DataError
from ..export.anomaly import learn
from ..export.anomaly.calibrate import auroc
from ..export.anomaly.parts import Parts, choose_input, placed, read_masks, read_parts
from ..export.anomaly.trial import FOLDS, LOW, Workbench, top_means
from ..runtime.inspect.anomaly import load_anomaly
from ..runtime.sources.base import load_cv2

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


def folds_of(
    bench: Workbench, name: str, top: int, tested: Sequence[Any], taught: Sequence[int] = ()
) -> List[Tuple[np.ndarray, np.ndarray, float]]:
    """For each fold the scores of held-out good tiles and of the tested ones, and pixel AUROC.

    Pixels are places of the map: those of defects against all others, of good tiles too.

    Args:
        bench: Of the free tiles, and of the defective ones that are taught.
        name: Of the method.
        top: Worst places that the score is a mean of.
        tested: Defective tiles as the bench looks at them.
        taught: Which of them must not be judged.
    """
    rows = []
    for fold in range(FOLDS):
        method = bench.learn(name, (fold,))
        held = [g for g, f in zip(bench.looked, bench.fold) if f == fold]
        good = np.array([np.where(g.valid, method.heat(g), LOW) for g in held])
        bad = np.array([np.where(b.valid, method.heat(b), LOW) for b in tested])
        judged = [i for i in range(len(tested)) if i not in set(taught)]
        marked = [i for i in judged if tested[i].defect is not None]
        inside = np.concatenate([bad[i][tested[i].defect & tested[i].valid] for i in marked])
        outside = [bad[i][~tested[i].defect & tested[i].valid] for i in marked]
        outside += [m[g.valid] for m, g in zip(good, held)]
        pixel = auroc(inside, np.concatenate(outside))
        rows.append((top_means(good, top), top_means(bad, top), pixel))
    return rows


def interval(
    rows: Sequence[Tuple[np.ndarray, np.ndarray, float]],
    chosen: np.ndarray,
    seed: int = 0,
    rounds: int = 1000,
) -> Tuple[float, float, float]:
    """Mean AUROC over the folds and its 95 % bootstrap interval; tiles are drawn anew."""
    random = np.random.default_rng(seed)
    value = float(np.mean([auroc(bad[chosen], good) for good, bad, _ in rows]))
    found = []
    for _ in range(rounds):
        again = random.choice(chosen, len(chosen))
        found.append(
            np.mean([auroc(bad[again], random.choice(good, len(good))) for good, bad, _ in rows])
        )
    return value, float(np.quantile(found, 0.025)), float(np.quantile(found, 0.975))


def tiles(
    folder: Path, minutes: float = 5.0, labelled: int = 20, draws: int = 3, seed: int = 0
) -> Dict[str, Any]:
    """Everything that is measured on tiles."""
    free, bad, types = read_tiles(folder)
    learnt = learn(free, size=(256, 256), minutes=minutes, seed=seed)
    method = learnt.report["chosen"]
    report = next(c for c in learnt.report["candidates"] if c["name"] == method)
    name = method if method != "ensemble" else "discriminator"
    cpu = time.process_time()
    names, images = read_parts(free, "good")
    bad_names, bad_images = read_parts(bad, "defective")
    spec, _ = choose_input(images, (256, 256))
    good, others = placed(names, images, spec), placed(bad_names, bad_images, spec)
    masks, _ = read_masks([p.with_suffix(".png") for p in bad], others, spec)
    bench = Workbench(good, no_parts(spec), [], False, False, seed, lambda *_: None, minutes)
    tested = [bench.look(image, mask) for image, mask in zip(others.images, masks)]
    rows = folds_of(bench, name, report["top"], tested)
    kinds = np.array(types)
    everything = np.arange(len(bad))
    result: Dict[str, Any] = {
        "free": len(free),
        "defective": len(bad),
        "candidates": learnt.report["candidates"],
        "chosen": method,
        "judged": name,
        "parity": learnt.report["parity"],
        "image": interval(rows, everything),
        "by_type": {k: interval(rows, np.flatnonzero(kinds == k)) for k in sorted(set(types))},
        "pixel": float(np.mean([r[2] for r in rows])),
        "minutes": (time.process_time() - cpu) / 60,
    }
    if labelled:
        result["labelled"] = with_labels(
            bench, name, report["top"], others, masks, tested, labelled, draws, seed
        )
    path = Path(learnt_path(learnt))
    result["time_ms"] = verdict_time(path, images)
    path.unlink()
    return result


def with_labels(
    bench: Workbench,
    name: str,
    top: int,
    others: Parts,
    masks: Sequence[Any],
    tested: Sequence[Any],
    labelled: int,
    draws: int,
    seed: int,
) -> Dict[str, Any]:
    """The same with some defective tiles taught as well, which are judged no more."""
    values, pixels = [], []
    for draw in range(draws):
        random = np.random.default_rng((seed, draw))
        taught = random.choice(len(tested), labelled, replace=False)
        bench.teach(
            Parts(*([column[i] for i in taught] for column in others)), [masks[i] for i in taught]
        )
        bench.bad_fold[:] = -1  # all of them are learnt from in every fold
        rows = folds_of(bench, name, top, tested, taught.tolist())
        rest = np.setdiff1d(np.arange(len(tested)), taught)
        values.append(interval(rows, rest))
        pixels.append(float(np.mean([r[2] for r in rows])))
    return {"taught": labelled, "draws": values, "image": float(np.mean([v[0] for v in values])),
            "pixel": float(np.mean(pixels))}  # fmt: skip


def learnt_path(learnt: Any) -> str:
    """A temporary file with the model."""
    import tempfile

    with tempfile.NamedTemporaryFile(suffix=".onnx", delete=False) as file:
        file.write(learnt.onnx.SerializeToString())
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


def main(arguments: Optional[Sequence[str]] = None) -> Dict[str, Any]:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m edgelane.benchmarks.anomaly")
    parser.add_argument("folder", nargs="?", default="../shared/data/qi/magtile", type=Path)
    parser.add_argument("--minutes", type=float, default=5.0, help="for training")
    parser.add_argument("--labelled", type=int, default=20, help="defects taught in the second run")
    parser.add_argument("--draws", type=int, default=3, help="of labelled defects")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    load_cv2().setNumThreads(1)
    result = tiles(options.folder, options.minutes, options.labelled, options.draws)
    if options.json:
        print(json.dumps(result, indent=2))
        return result
    print(
        f"{result['free']} free tiles, {result['defective']} defective, {FOLDS} folds of the free"
    )
    print("candidate        AUROC on made-up defects")
    for tried in result["candidates"]:
        if "skipped" in tried:
            print(f"{tried['name']:<16} left out: {tried['skipped']}")
            continue
        low, high = tried["auroc_interval"]
        print(f"{tried['name']:<16} {tried['auroc']:.3f}  [{low:.3f}, {high:.3f}]")
    print(f"chosen {result['chosen']}; parity {result['parity']:.1e}")
    print("defects          image AUROC, 95 % interval")
    for kind, row in (("all", result["image"]), *result["by_type"].items()):
        print(f"{kind:<16} {row[0]:.3f}  [{row[1]:.3f}, {row[2]:.3f}]")
    print(f"pixel AUROC      {result['pixel']:.3f}")
    if "labelled" in result:
        found = result["labelled"]
        each = ", ".join(f"{v[0]:.3f} [{v[1]:.3f}, {v[2]:.3f}]" for v in found["draws"])
        print(
            f"with {found['taught']} defects taught: image {found['image']:.3f} ({each}), "
            f"pixel {found['pixel']:.3f}"
        )
    spent = result["time_ms"]
    print(
        f"256 x 256 verdict, one core: median {spent['median']:.1f} ms, p99 {spent['p99']:.1f} ms "
        f"({spent['ratio']:.2f} times), {spent['cpu_median']:.1f} ms of CPU"
    )
    print(f"folds learnt and judged in {result['minutes']:.1f} minutes of CPU")
    return result


if __name__ == "__main__":
    main()
