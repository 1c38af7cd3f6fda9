"""Golden samples on boards and their templates: what is found, as they come and disturbed.

python -m edgelane.benchmarks.inspection [FOLDER]

The folder holds `*_test.jpg`, `*_temp.jpg` and `*.txt` with `x1 y1 x2 y2 type` a line (DeepPCB).
Intervals are of 95 %, by drawing boards, and by drawing groups of them: the first five characters
of their names.
"""

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ..core import DataError
from ..runtime.inspect import Golden, GoldenSettings, inspect_picture
from ..runtime.inspect.pictures import read_picture
from ..runtime.sources.base import load_cv2

TYPES = ("open", "short", "mousebite", "spur", "copper", "pin-hole")
DRAWS = 2000  # of boards or groups
DRAWN = 20  # settings, all of them up to a quarter larger or smaller
REAL = ("tolerance", "slack", "reach", "window", "join", "area", "margin")  # settings drawn


class Board(NamedTuple):
    """A template `(h, w, 3)`, the tested picture, `(n, 4)` boxes in it and `(n,)` types from 1."""

    name: str
    template: np.ndarray
    tested: np.ndarray
    boxes: np.ndarray
    types: np.ndarray


Change = Callable[[Board, np.random.Generator], Board]


def read_boards(folder: Path, every: int = 1) -> Iterator[Board]:
    """The boards of a folder, or every so many of them.

    Raises:
        DataError: It holds none.
    """
    paths = sorted(folder.glob("*_test.jpg"))
    if not paths:
        raise DataError(f"{folder} holds no boards", expected="*_test.jpg, *_temp.jpg and *.txt")
    for path in paths[::every]:
        stem = path.name[: -len("_test.jpg")]
        rows = np.loadtxt(folder / f"{stem}.txt", ndmin=2)
        template = read_picture(folder / f"{stem}_temp.jpg")
        yield Board(stem, template, read_picture(path), rows[:, :4], rows[:, 4].astype(int))


def disturb(
    image: np.ndarray, boxes: np.ndarray, random: np.random.Generator
) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Turn by up to 1.5 degrees, scale by up to 1.5 %, shift by up to 12 px; boxes follow.

    Boxes of which less than half stays in the picture go; the third tells which are kept.
    """
    cv2 = load_cv2()
    height, width = image.shape[:2]
    warp = cv2.getRotationMatrix2D(
        (width / 2, height / 2), random.uniform(-1.5, 1.5), random.uniform(0.985, 1.015)
    )
    warp[:, 2] += random.uniform(-12, 12, 2)
    moved = cv2.warpAffine(image, warp, (width, height), borderMode=cv2.BORDER_REPLICATE)
    x1, y1, x2, y2 = boxes.T
    corners = np.stack((x1, y1, x2, y1, x2, y2, x1, y2), axis=1).reshape(-1, 4, 2)
    corners = corners @ warp[:, :2].T + warp[:, 2]
    whole = np.concatenate((corners.min(axis=1), corners.max(axis=1)), axis=1)
    cut = np.clip(whole, 0, (width, height, width, height))
    area = (whole[:, 2:] - whole[:, :2]).prod(axis=1)
    kept = (cut[:, 2:] - cut[:, :2]).clip(0).prod(axis=1) > 0.5 * area
    return moved, cut[kept], kept


def matches(found: np.ndarray, truth: np.ndarray, least: float) -> List[Tuple[int, int]]:
    """Pairs of found and true boxes: one to one, by falling overlap."""
    if not len(found) or not len(truth):
        return []
    low = np.maximum(found[:, None, :2], truth[None, :, :2])
    high = np.minimum(found[:, None, 2:], truth[None, :, 2:])
    shared = (high - low).clip(0).prod(axis=2)
    size = (found[:, 2:] - found[:, :2]).prod(axis=1), (truth[:, 2:] - truth[:, :2]).prod(axis=1)
    overlap = shared / (size[0][:, None] + size[1][None] - shared)
    pairs = []
    while overlap.max() >= least:
        row, column = np.unravel_index(overlap.argmax(), overlap.shape)
        overlap[row], overlap[:, column] = -1, -1
        pairs.append((int(row), int(column)))
    return pairs


def _turned(board: Board, random: np.random.Generator) -> Board:
    moved, boxes, kept = disturb(board.tested, board.boxes, random)
    return board._replace(tested=moved, boxes=boxes, types=board.types[kept])


def _swapped(board: Board, random: np.random.Generator) -> Board:
    return board._replace(template=board.tested, tested=board.template)


def _mirrored(board: Board, random: np.random.Generator) -> Board:
    boxes = board.boxes.copy()
    boxes[:, [0, 2]] = board.tested.shape[1] - boxes[:, [2, 0]]
    return board._replace(
        template=board.template[:, ::-1].copy(), tested=board.tested[:, ::-1].copy(), boxes=boxes
    )


def _times(factor: float) -> Change:
    """Both pictures larger or smaller."""

    def change(board: Board, random: np.random.Generator) -> Board:
        cv2 = load_cv2()
        how = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
        both = (cv2.resize(p, None, fx=factor, fy=factor, interpolation=how)
                for p in (board.template, board.tested))  # fmt: skip
        return board._replace(**dict(zip(("template", "tested"), both)), boxes=board.boxes * factor)

    return change


def _bytes(image: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def _lit(slope: float = 0.0, gamma: float = 1.0, tint: Sequence[float] = (1, 1, 1)) -> Change:
    """Copper of 60 and ground of 200 grey levels; the tested picture in other light."""

    def change(board: Board, random: np.random.Generator) -> Board:
        template, tested = (60 + p * (140 / 255.0) for p in (board.template, board.tested))
        angle = random.uniform(0, 2 * np.pi)
        height, width = tested.shape[:2]
        y, x = np.mgrid[-0.5 : 0.5 : height * 1j, -0.5 : 0.5 : width * 1j]
        light = 1 + 2 * slope * (x * np.cos(angle) + y * np.sin(angle)) / np.sqrt(2)
        tested = 255 * (tested / 255) ** gamma * (0.9 * light)[..., None] * np.array(tint)
        return board._replace(template=_bytes(template), tested=_bytes(tested))

    return change


def _seen(noise: float = 0.0, blur: float = 0.0, quality: int = 0, level: int = 0) -> Change:
    """The tested picture through a worse camera: blurred, cut at a grey level, noisy, coded."""

    def change(board: Board, random: np.random.Generator) -> Board:
        cv2 = load_cv2()
        tested = board.tested
        if blur:
            tested = cv2.GaussianBlur(tested, (0, 0), blur)
        if level:
            tested = np.where(tested > level, 255, 0).astype(np.uint8)
        if noise:
            tested = _bytes(tested + random.normal(0, noise, tested.shape[:2])[..., None])
        if quality:
            coded = cv2.imencode(".jpg", tested, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
            tested = cv2.imdecode(coded, cv2.IMREAD_COLOR)
        return board._replace(tested=tested)

    return change


def _bent(amount: float, cells: int) -> Change:
    """Places of the tested picture wander: `amount` px (root mean square) over `cells` knots."""

    def change(board: Board, random: np.random.Generator) -> Board:
        cv2 = load_cv2()
        height, width = board.tested.shape[:2]
        knots = random.normal(0, 1, (cells, cells, 2)).astype(np.float32)
        shift = cv2.resize(knots, (width, height), interpolation=cv2.INTER_CUBIC)
        y, x = np.mgrid[0:height, 0:width].astype(np.float32)
        place = np.stack((x, y), axis=2) + shift * np.float32(amount / shift.std())
        bent = cv2.remap(
            board.tested, place, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        return board._replace(tested=bent)

    return change


CHANGES: Dict[str, Change] = {
    "mirrored": _mirrored,
    "template and tested swapped": _swapped,
    "other light: 30 % slope": _lit(slope=0.3),
    "gamma .7": _lit(gamma=0.7),
    "gamma 1.4": _lit(gamma=1.4),
    "15 % less blue": _lit(tint=(0.85, 1, 1)),
    "blurred by 1 px": _seen(blur=1.0),
    "noise of 15, JPEG 60": _seen(noise=15, quality=60),
    "cut at grey level 80": _seen(blur=1.0, level=80),
    "cut at grey level 170": _seen(blur=1.0, level=170),
    "bent by 1 px": _bent(1.0, 5),
    "bent by 2 px": _bent(2.0, 5),
    "edges ragged by .5 px": _bent(0.5, 200),
    "half the size": _times(0.5),
    "1.5 times the size": _times(1.5),
}


class Judged(NamedTuple):
    """What was found on one board: counts, and pairs at an overlap of .33."""

    name: str
    hits: int
    hits_half: int
    found: int
    true: int
    of_type: np.ndarray
    found_of_type: np.ndarray
    near: int
    verdict: str
    seconds: Tuple[float, float]


def judge(board: Board, settings: Optional[GoldenSettings] = None) -> Judged:
    """One board beside its truth."""
    start = time.process_time()
    golden = Golden([board.template], settings)
    middle = time.process_time()
    result = inspect_picture(golden, board.tested)
    seconds = middle - start, time.process_time() - middle
    found = result.xyxy.astype(float)
    pairs = matches(found, board.boxes, 0.33)
    paired = board.types[[column for _, column in pairs]]
    false = np.delete(found, [row for row, _ in pairs], axis=0)
    # Beside a defect: its box is parted, or too large or small.
    apart = np.maximum(false[:, None, :2], board.boxes[None, :, :2]) < np.minimum(
        false[:, None, 2:], board.boxes[None, :, 2:]
    )
    near = int(apart.all(axis=2).max(axis=1, initial=False).sum())
    return Judged(
        board.name, len(pairs), len(matches(found, board.boxes, 0.5)), len(found),
        len(board.boxes), np.bincount(board.types, minlength=7)[1:],
        np.bincount(paired, minlength=7)[1:], near,
        result.verdict.verdict, seconds,
    )  # fmt: skip


def f_of(rows: Sequence[Judged], half: bool = False) -> float:
    """F: twice the pairs over all boxes found and true."""
    hits = sum(r.hits_half if half else r.hits for r in rows)
    return 2 * hits / max(sum(r.found + r.true for r in rows), 1)


def interval(rows: Sequence[Judged], by_group: bool = False) -> Tuple[float, float]:
    """95 % interval of F by the bootstrap, over boards or groups of them."""
    groups: Dict[str, List[Judged]] = {}
    for row in rows:
        groups.setdefault(row.name[:5] if by_group else row.name, []).append(row)
    counts = np.array([(2 * sum(r.hits for r in g), sum(r.found + r.true for r in g))
                       for g in groups.values()])  # fmt: skip
    drawn = np.random.default_rng(0).integers(len(counts), size=(DRAWS, len(counts)))
    sums = counts[drawn].sum(axis=1)
    low, high = np.percentile(sums[:, 0] / sums[:, 1], (2.5, 97.5))
    return float(low), float(high)


def boards(
    folder: Path, change: Optional[Change] = None, every: int = 1, seed: int = 0,
    settings: Optional[GoldenSettings] = None,
) -> List[Judged]:  # fmt: skip
    """Judge the boards of a folder.

    Args:
        folder: Where they lie.
        change: What is done to each before.
        every: Only every so many.
        seed: Of the change.
        settings: Of the comparison.

    Raises:
        DataError: The folder holds no boards.
    """
    random = np.random.default_rng(seed)
    return [judge(change(b, random) if change else b, settings) for b in read_boards(folder, every)]


def other_settings(draw: np.random.Generator, side: int = 640) -> GoldenSettings:
    """The usual settings, each up to a quarter larger or smaller."""
    usual = GoldenSettings()
    usual = replace(usual, margin=side // 64 if usual.margin is None else usual.margin)
    own: Dict[str, Any] = {}
    for name in REAL:
        value = getattr(usual, name)
        own[name] = type(value)(np.round(value * draw.uniform(0.75, 1.25), 4))
    return replace(usual, **own)


def summary(rows: Sequence[Judged]) -> Dict[str, Any]:
    """Figures of one run."""
    hits, found = sum(r.hits for r in rows), sum(r.found for r in rows)
    of_type = np.array([(r.found_of_type, r.of_type) for r in rows]).sum(axis=0).T
    true = sum(r.true for r in rows)
    times = 1e3 * np.array([r.seconds for r in rows])
    return {
        "boards": len(rows),
        "f33": f_of(rows),
        "interval": interval(rows),
        "interval_groups": interval(rows, by_group=True),
        "f50": f_of(rows, half=True),
        "precision": hits / max(found, 1),
        "recall": hits / max(true, 1),
        "missed": true - hits,
        "false_near": sum(r.near for r in rows),
        "false_away": found - hits - sum(r.near for r in rows),
        "defective_passed": sum(r.verdict == "pass" and r.true > 0 for r in rows),
        "types": {name: [int(n) for n in pair] for name, pair in zip(TYPES, of_type)},
        "groups": {name: f_of([r for r in rows if r.name[:5] == name])
                   for name in sorted({r.name[:5] for r in rows})},
        "golden_ms": float(np.median(times[:, 0])),
        "inspect_ms": float(np.median(times[:, 1])),
        "inspect_p99_ms": float(np.percentile(times[:, 1], 99)),
    }  # fmt: skip


def main(arguments: Optional[Sequence[str]] = None) -> Dict[str, Any]:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m edgelane.benchmarks.inspection")
    parser.add_argument("folder", nargs="?", default="../shared/data/qi/deeppcb", type=Path)
    parser.add_argument("--every", type=int, default=3, help="board that is changed otherwise")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    load_cv2().setNumThreads(1)
    folder, every = options.folder, options.every
    table: Dict[str, Any] = {
        "as they come": summary(boards(folder)),
        "turned, scaled": summary(boards(folder, _turned)),
    }
    changed = {name: f_of(boards(folder, change, every)) for name, change in CHANGES.items()}
    draw = np.random.default_rng(1)
    drawn = [f_of(boards(folder, None, every, settings=other_settings(draw)))
             for _ in range(DRAWN)]  # fmt: skip
    table["changed"], table["other settings"] = changed, drawn
    if options.json:
        print(json.dumps(table, indent=2))
        return table
    print("boards              F .33  over boards  over groups   F .5   P     R     missed  false: "
          "near away  passed")  # fmt: skip
    rows = {name: table[name] for name in ("as they come", "turned, scaled")}
    for name, row in rows.items():
        low, high = row["interval"]
        least, most = row["interval_groups"]
        print(f"{row['boards']:<4}{name:<15} {row['f33']:.3f}  {low:.3f}-{high:.3f}  "
              f"{least:.3f}-{most:.3f}  {row['f50']:.3f}  {row['precision']:.3f} "
              f"{row['recall']:.3f} {row['missed']:6} {row['false_near']:12} "
              f"{row['false_away']:4} {row['defective_passed']:7}")  # fmt: skip
    for name, row in rows.items():
        print(f"{name}: golden {row['golden_ms']:.1f} ms, inspect {row['inspect_ms']:.1f} ms, "
              f"p99 {row['inspect_p99_ms']:.1f} ms of one core")  # fmt: skip
    print("\nfound of each type, " + ", ".join(rows))
    for name in TYPES:
        print(f"  {name:10}" + "".join(
            "{:8} of {:3}".format(*row["types"][name]) for row in rows.values()))  # fmt: skip
    print("\nF .33 of each group, " + ", ".join(rows))
    for name in rows["as they come"]["groups"]:
        print(f"  {name:10}" + "".join(f"{row['groups'][name]:8.3f}" for row in rows.values()))
    print(f"\nF .33, every {every}. board, changed")
    for name, value in changed.items():
        print(f"  {name:30} {value:.3f}")
    low, middle = min(drawn), float(np.median(drawn))
    print(f"\n{DRAWN} draws of {', '.join(REAL)},\neach up to a quarter larger or smaller, all at "
          f"once: F .33 from {low:.3f}, half above {middle:.3f}")  # fmt: skip
    return table


if __name__ == "__main__":
    main()
