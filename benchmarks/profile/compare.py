"""Two profiles against each other, pair by pair: what has become faster or slower."""

import json
from pathlib import Path
from typing import Any, Dict, List, Tuple, Union

from ...core import DataError, UsageError
from .rows import title
from .stats import compare_rounds

MAX_SLOWER = 5.0
"""Per cent that a row may be slower before it counts as a regression."""

PathLike = Union[str, Path]


def compare_profiles(
    one: PathLike, two: PathLike, *, max_slower: float = MAX_SLOWER
) -> Dict[str, Any]:
    """Compare two profiles.

    Rows of the same model, size, precision, backend and device are a pair. One is slower or faster
    where the interval of the ratio, from the rounds of both, excludes that they are alike and they
    differ by more than 3 %; otherwise it is too close to tell.

    Args:
        one: `rows.json` of the earlier profile.
        two: Of the later one.
        max_slower: Per cent that a row may be slower.

    Returns:
        `pairs`, each with `row`, `verdict` (`faster`, `slower`, `too close to tell`, `failed` or
        `missing` in the later one, `new` in it), `one_ms`, `two_ms`, `ratio` with `low` and
        `high`, and `regression`; and `regressions`, how many are beyond the limit, failed or
        missing.

    Raises:
        DataError: A file is none of a profile.
        UsageError: The limit makes no sense.
    """
    if not max_slower >= 0:
        raise UsageError("max_slower makes no sense", got=max_slower, expected="0 or more per cent")
    before, after = _rows(one), _rows(two)
    pairs: List[Dict[str, Any]] = []
    for mark, row in before.items():
        if not row.get("ms"):
            continue
        other = after.get(mark)
        if other is None or not other.get("round_ms"):
            verdict = "missing" if other is None else "failed"
            pair = {"row": _name(row), "verdict": verdict, "one_ms": row["ms"], "two_ms": None,
                    "ratio": None, "low": None, "high": None, "regression": True}  # fmt: skip
            if other is not None:
                pair["reason"] = other.get("error")
            pairs.append(pair)
            continue
        ratio = compare_rounds(row["round_ms"], other["round_ms"])
        slower = ratio.verdict == "slower" and 100 * (ratio.value - 1) > max_slower
        pairs.append(
            {
                "row": _name(row),
                "verdict": ratio.verdict,
                "one_ms": row["ms"],
                "two_ms": other["ms"],
                "ratio": round(ratio.value, 4),
                "low": round(ratio.low, 4),
                "high": None if ratio.high == float("inf") else round(ratio.high, 4),
                "regression": slower,
            }
        )
    for mark, row in after.items():
        if mark not in before and row.get("ms"):
            pairs.append({"row": _name(row), "verdict": "new", "one_ms": None, "two_ms": row["ms"],
                          "ratio": None, "low": None, "high": None,
                          "regression": False})  # fmt: skip
    if not pairs:
        raise DataError(f"{one} and {two} have nothing that was measured")
    return {"pairs": pairs, "regressions": sum(p["regression"] for p in pairs)}


def _rows(path: PathLike) -> Dict[Tuple[Any, ...], Dict[str, Any]]:
    path = Path(path)
    if path.is_dir():
        path = path / "rows.json"
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"there is no profile {path}", expected="the rows.json of one") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read", got=error.strerror) from None
    except ValueError as error:
        raise DataError(f"{path} is no JSON", got=str(error)[:100]) from None
    rows = data.get("rows") if isinstance(data, dict) else None
    if not isinstance(rows, list) or not all(isinstance(r, dict) and "model" in r for r in rows):
        raise DataError(f"{path} is no profile", expected="the rows.json that a profile writes")
    measured = [r for r in rows if r.get("kind") == "measured"]
    return {
        (
            r["model"],
            tuple(r.get("size") or ()),
            r.get("precision"),
            r.get("backend"),
            r.get("device"),
        ): r
        for r in measured
    }


def _name(row: Dict[str, Any]) -> str:
    return f"{title(row)} ({row.get('backend')}, {row.get('device')})"
