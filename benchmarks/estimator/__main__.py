"""Fits the estimator, or tells how far off it is.

    python -m edgelane.benchmarks.estimator fit
    python -m edgelane.benchmarks.estimator validate

`fit` writes `fitted.json` beside the table of published rows; `validate` prints errors for what was
left out and writes nothing.
"""

import argparse
import sys
from typing import Any, Dict, List, Optional, Sequence

import numpy as np

from ...core.devices import find_device
from . import validate
from .dla import fit_dla
from .fit import FITTED, Fit, columns_of, errors, fit, load, runs_of_rows, save
from .hardware import gpu_of
from .latency import KINDS, share_by_kind
from .published import Row, digest, published


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def _groups(rows: Sequence[Row]) -> List[str]:
    return [validate.generation_group(gpu_of(find_device(row.device)).generation) for row in rows]


def fitted(progress: validate.Progress = None) -> Dict[str, Any]:
    """Everything that estimates need, from the table of published rows."""
    table = published()
    rows = [row for row in table if row.used == "fit"]
    whole = fit(rows)
    off = validate.left_out_errors(rows, whole, progress)
    widths = validate.half_widths(off, rows, _groups(rows))
    shares = share_by_kind(whole.parameters, runs_of_rows(rows))
    dla_rows = [row for row in table if row.used == "dla"]
    dla, dla_off = fit_dla(
        dla_rows, [columns_of(row.network, row.size) for row in dla_rows], whole.parameters
    )
    ms = np.array([row.ms for row in rows])
    return {
        "published_sha256": digest(),
        "rows": len(rows),
        "parameters": {name: value.tolist() for name, value in whole.parameters.items()},
        "publishers": whole.publishers,
        "confidence": validate.CONFIDENCE,
        "half_widths": widths,
        "devices": {
            name: sum(row.device == name for row in rows)
            for name in dict.fromkeys(row.device for row in rows)
        },
        "largest_share": dict(zip(KINDS, shares.max(axis=0).tolist())),
        "range_ms": [float(ms.min()), float(ms.max())],
        "dla": {"parameters": dla, "rows": len(dla_rows), "worst": float(np.abs(dla_off).max())},
    }


def report() -> None:
    """Print errors for what was left out."""
    table = published()
    rows = [row for row in table if row.used == "fit"]
    found = load()
    whole = Fit(found["parameters"], found["publishers"])
    off = validate.left_out_errors(rows, whole, _say)
    counts = {use: sum(row.used == use for row in table) for use in ("held-out", "dla", "excluded")}
    print(
        f"{len(table)} published rows of {len({row.publisher for row in table})} publishers and "
        f"{len({row.device for row in table})} devices: {len(rows)} fitted, "
        + ", ".join(f"{count} {use}" for use, count in counts.items())
    )
    print("\nerror in per cent for what was left out, median / 90th percentile")
    print("left out     all          one publisher's 159 rows aside   publishers x devices alike")
    weight = validate.balance(rows)
    many = max({row.publisher for row in rows}, key=[row.publisher for row in rows].count)
    few = np.array([row.publisher != many for row in rows])
    holds = validate.coverage(off, rows, _groups(rows))
    for what, values in off.items():
        size = np.exp(np.abs(values)) - 1
        alike = [100 * validate.quantile(size, weight, share) for share in (0.5, 0.9)]
        print(
            f"{what:<10}{_pair(validate.relative(values))}{'':8}"
            f"{_pair(validate.relative(values[few]))}{'':20}{_pair(alike)}"
        )
    print("\nleft out   pairs in order       FP16 to INT8 gain     90 % intervals hold / balanced")
    for what, values in off.items():
        right, total = validate.order(values, rows)
        gain = validate.int8_gain(values, rows)
        print(
            f"{what:<10}{right} of {total}, {100 * right / total:.1f} %"
            f"{_pair(validate.relative(np.log1p(gain)))} of {len(gain)}"
            f"{100 * holds[what].rows:12.1f} % / {100 * holds[what].balanced:.1f} %"
        )
    held = [row for row in table if row.used == "held-out"]
    between = errors(found["parameters"], held)
    print(f"\nheld out, near twins of fitted rows: {_pair(validate.relative(between)).strip()}")
    dla = found["dla"]
    print(f"DLA, {dla['rows']} rows, fitted: at most {100 * (np.exp(dla['worst']) - 1):.0f} % off")
    for what, key in validate.LEFT_OUT.items():
        print(f"\nwithout the {what}")
        for value in dict.fromkeys(key(row) for row in rows):
            one = np.array([key(row) == value for row in rows])
            bias = 100 * (np.exp(np.median(off[what][one])) - 1)
            print(
                f"  {value:<26}{one.sum():4d} rows{_pair(validate.relative(off[what][one]))}"
                f"   median {bias:+.0f} %"
            )


def _pair(values: Sequence[float]) -> str:
    return f"{values[0]:8.1f} / {values[1]:.1f}"


def main(arguments: Optional[Sequence[str]] = None) -> None:
    """Fit or validate."""
    parser = argparse.ArgumentParser(prog="python -m edgelane.benchmarks.estimator")
    parser.add_argument("what", choices=("fit", "validate"))
    if parser.parse_args(arguments).what == "fit":
        found = fitted(_say)
        save(found)
        factor = np.exp(found["half_widths"]["all"])
        print(f"{FITTED.name}: {found['rows']} rows, intervals x / {factor:.2f}")
    else:
        report()


if __name__ == "__main__":
    main()
