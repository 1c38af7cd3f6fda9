"""Tables of a measurement study: from the text of a CSV to arrays, or one clear sentence."""

import csv
import math
from dataclasses import dataclass
from typing import Dict, Iterable, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from ...core import DataError

NAMES = {
    "part": ("part", "parts", "sample", "item"),
    "operator": ("operator", "operators", "appraiser", "inspector"),
    "trial": ("trial", "trials", "repeat", "replicate", "run"),
    "value": ("value", "measurement", "measure", "result"),
    "image": ("image", "picture", "file", "part"),
    "gauge": ("gauge", "characteristic", "dimension"),
    "verdict": ("verdict", "value", "result", "rating", "decision"),
    "reference": ("reference", "truth", "standard", "expected"),
}
"""What a column may be called, whatever the case."""

HUGE = 1e100
"""Larger values, and spans smaller than its inverse, would leave the floats when squared."""

Row = Tuple[int, Dict[str, str]]


@dataclass(frozen=True)
class Study:
    """A crossed study: every operator measured every part equally often.

    Attributes:
        values: `(parts, operators, trials)` float64.
        parts: Names, in order of appearance.
        operators: Names, in order of appearance.
    """

    values: np.ndarray
    parts: Tuple[str, ...]
    operators: Tuple[str, ...]


@dataclass(frozen=True)
class Judgements:
    """As `Study`, of words in place of numbers.

    Attributes:
        verdicts: `(parts, operators, trials)` of strings, e.g. `pass` and `fail`.
        parts: Names, in order of appearance.
        operators: Names, in order of appearance.
        reference: What each part truly is; None where it is not known.
    """

    verdicts: np.ndarray
    parts: Tuple[str, ...]
    operators: Tuple[str, ...]
    reference: Optional[Tuple[str, ...]]


def read_study(text: str) -> Study:
    """A gauge study from CSV text with the columns part, operator, trial and value.

    Comma, semicolon or tab between the fields; a decimal comma is understood where the fields are
    not parted by commas. Without a column `trial` the rows of a cell count as they come.

    Raises:
        DataError: Empty, a column or a cell is missing, a value is no finite number, or the
            table is not balanced.
    """
    delimiter, rows = _rows(text, ("part", "operator", "value"), ("trial",))
    comma = delimiter != ","
    return _study(rows, comma)


def measurements(rows: Iterable[Tuple[str, str, str, str]]) -> Study:
    """A study of rows: part, operator, trial and value, in any order.

    Raises:
        DataError: As `read_study`.
    """
    names = ("part", "operator", "trial", "value")
    return _study([(k, dict(zip(names, row))) for k, row in enumerate(rows, 1)], False)


def _study(rows: List[Row], comma: bool) -> Study:
    cells, parts, operators = _cells(rows, "value")
    values = [[[_number(v, line, comma) for line, v in c] for c in row] for row in cells]
    return Study(np.asarray(values, dtype=np.float64), parts, operators)


def read_judgements(text: str) -> Judgements:
    """An attribute study from CSV text: part, operator, trial, verdict and, if known, reference.

    Verdicts are compared in lower case. Raises DataError as `read_study`, and where a part has
    two references or none.
    """
    rows, truth = read_verdicts(text)
    return judgements(rows, truth)


def read_verdicts(text: str) -> Tuple[List[Tuple[str, str, str, str]], Optional[Dict[str, str]]]:
    """Rows of part, operator, trial and verdict as a study has them, and what each part truly is.

    Raises DataError as `read_judgements`; whether the table is balanced is not looked at.
    """
    _, rows = _rows(text, ("part", "operator", "verdict"), ("trial", "reference"))
    _filled(rows, "verdict")
    truth = _truth(rows) if rows and "reference" in rows[0][1] else None
    counts: Dict[Tuple[str, str], int] = {}
    found = []
    for _, row in rows:
        cell = (row["part"], row["operator"])
        counts[cell] = counts.get(cell, 0) + 1
        found.append((*cell, row.get("trial", str(counts[cell])), row["verdict"]))
    return found, truth


def read_reference(text: str) -> Dict[str, str]:
    """What each part truly is, from CSV text with the columns part and reference.

    Raises:
        DataError: As `read_judgements`.
    """
    _, rows = _rows(text, ("part", "reference"), ())
    return _truth(rows)


def judgements(
    rows: Iterable[Tuple[str, str, str, str]], reference: Optional[Mapping[str, str]]
) -> Judgements:
    """A study of rows: part, operator, trial and verdict.

    Args:
        rows: In any order; every operator must have judged every part equally often.
        reference: What each part truly is, or None where it is not known.

    Raises:
        DataError: A cell is empty, there twice, or missing.
    """
    names = ("part", "operator", "trial", "verdict")
    lines: List[Row] = [(k, dict(zip(names, row))) for k, row in enumerate(rows, 1)]
    cells, parts, operators = _cells(lines, "verdict")
    verdicts = np.array([[[v.lower() for _, v in c] for c in row] for row in cells])
    truth = None if reference is None else tuple(reference[p].lower() for p in parts)
    return Judgements(verdicts, parts, operators, truth)


def _truth(rows: Sequence[Row]) -> Dict[str, str]:
    truth: Dict[str, str] = {}
    for line, row in rows:
        said = row["reference"].lower()
        if not said:
            raise DataError(f"line {line}: the reference of part {row['part']} is empty")
        if truth.setdefault(row["part"], said) != said:
            raise DataError(
                f"line {line}: part {row['part']} has two references",
                got=f"{said!r} after {truth[row['part']]!r}",
            )
    return truth


def read_masters(text: str) -> Dict[str, Dict[str, float]]:
    """Known sizes of parts from CSV text: columns image, gauge and value, a row for each size.

    Returns:
        By image the values by gauge.

    Raises:
        DataError: As `read_study`, but a table need not be balanced.
    """
    delimiter, rows = _rows(text, ("image", "gauge", "value"), ())
    found: Dict[str, Dict[str, float]] = {}
    for line, row in rows:
        for name in ("image", "gauge"):
            if not row[name]:
                raise DataError(f"line {line}: the {name} is empty")
        known = found.setdefault(row["image"], {})
        if row["gauge"] in known:
            raise DataError(f"line {line}: {row['gauge']} of {row['image']} stands there twice")
        known[row["gauge"]] = _number(row["value"], line, delimiter != ",")
    return found


def _rows(text: str, needed: Sequence[str], optional: Sequence[str]) -> Tuple[str, List[Row]]:
    lines = text.lstrip("\ufeff").splitlines()
    if not any(line.strip() for line in lines):
        raise DataError("the table is empty", expected="a header and rows: " + ", ".join(needed))
    if "\0" in text:
        raise DataError("the table is not text", remedy="save it as CSV UTF-8")
    head = next(line for line in lines if line.strip())
    delimiter = max(",;\t", key=head.count)
    try:
        table = csv.reader(lines, delimiter=delimiter, strict=True)
        found = [(table.line_num, [f.strip() for f in row]) for row in table]
    except csv.Error as error:
        raise DataError("the table is not a CSV", got=str(error)) from None
    found = [(line, row) for line, row in found if any(row)]
    header = [name.lower() for name in found[0][1]]
    columns: Dict[str, int] = {}
    for name in (*needed, *optional):
        at = next((header.index(n) for n in NAMES[name] if n in header), None)
        if at is not None:
            columns[name] = at
        elif name in needed:
            raise DataError(
                f"the table has no column {name!r}",
                got=", ".join(header),
                expected=", ".join((*needed, *optional)),
            )
    if len(found) == 1:
        raise DataError("the table has a header and no rows")
    rows = []
    for line, fields in found[1:]:
        if len(fields) != len(header):
            raise DataError(
                f"line {line} has {len(fields)} fields where the header has {len(header)}",
                remedy="a decimal comma needs semicolons between the fields"
                if delimiter == "," and len(fields) > len(header)
                else None,
            )
        rows.append((line, {name: fields[at] for name, at in columns.items()}))
    return delimiter, rows


def _filled(rows: List[Row], value: str) -> Dict[Tuple[str, str], Dict[str, Tuple[int, str]]]:
    """Line and text by trial, by part and operator; nothing empty, nothing twice."""
    found: Dict[Tuple[str, str], Dict[str, Tuple[int, str]]] = {}
    for line, row in rows:
        for name in ("part", "operator"):
            if not row[name]:
                raise DataError(f"line {line}: the {name} is empty")
        if not row[value]:
            raise DataError(f"line {line}: the {value} is empty", remedy="measure it again")
        cell = found.setdefault((row["part"], row["operator"]), {})
        trial = row.get("trial", str(len(cell) + 1))
        if trial in cell:
            raise DataError(
                f"line {line}: trial {trial} of part {row['part']} by operator "
                f"{row['operator']} stands there twice, first in line {cell[trial][0]}"
            )
        cell[trial] = (line, row[value])
    return found


def _cells(rows: List[Row], value: str):
    """`cells[part][operator]` as (line, text) in order of the trials; every cell as full."""
    found = _filled(rows, value)
    parts = tuple(dict.fromkeys(part for part, _ in found))
    operators = tuple(dict.fromkeys(operator for _, operator in found))
    trials = list(dict.fromkeys(t for cell in found.values() for t in cell))
    lacking = [
        (part, operator, trial)
        for part in parts
        for operator in operators
        for trial in trials
        if trial not in found.get((part, operator), {})
    ]
    if lacking:
        part, operator, trial = lacking[0]
        more = f", and {len(lacking) - 1} more" if len(lacking) > 1 else ""
        raise DataError(
            f"the table is not balanced: trial {trial} of part {part} by operator {operator} "
            f"is missing{more}",
            expected="every operator to measure every part equally often",
        )
    return (
        [[[found[p, o][t] for t in trials] for o in operators] for p in parts],
        parts,
        operators,
    )


def _number(text: str, line: int, comma: bool) -> float:
    try:
        number = float(text.replace(",", ".") if comma and text.count(",") == 1 else text)
    except ValueError:
        raise DataError(f"line {line}: the value is not a number", got=repr(text)) from None
    if not math.isfinite(number):
        raise DataError(f"line {line}: the value is not finite", got=text)
    return number
