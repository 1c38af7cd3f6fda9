"""What studies of a gauge or of verdicts share: tables in, lines of text, a page and tables out."""

import json
from pathlib import Path
from typing import Any, Dict, Iterable, List, Optional, Sequence, Tuple, Union

from ...core import DataError, StorageError, UsageError
from ...pipelines.quality import AttributeStudy


def read_table(table: Union[str, Path]) -> str:
    """The text of a CSV.

    Raises:
        UsageError: There is no such file.
        DataError: It is no UTF-8 text.
    """
    path = Path(table)
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise UsageError(f"table {table} {what}", expected="a CSV file")
    try:
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        raise DataError(f"{table} is not UTF-8 text", remedy="save it as CSV UTF-8") from None


def split_source(source: str) -> Tuple[Optional[str], Path]:
    """Operator and path of `OPERATOR=PATH`; no operator of a plain path."""
    operator, mark, path = source.partition("=")
    if mark and operator and not Path(source).exists():
        return operator, Path(path)
    return None, Path(source)


def in_turn(rows: Iterable[Tuple[str, str, str, str]]) -> List[Tuple[str, str, str, str]]:
    """Rows of part, operator, trial and value, the trials of each operator counted from 1."""
    turns: Dict[str, List[str]] = {}
    out: List[Tuple[str, str, str, str]] = []
    for part, who, trial, said in rows:
        trials = turns.setdefault(who, [])
        if trial not in trials:
            trials.append(trial)
        out.append((part, who, str(trials.index(trial) + 1), said))
    return out


def attribute_lines(found: AttributeStudy) -> List[str]:
    """An attribute study in lines for a terminal."""
    from ...dashboard.quality import AGREEMENT

    p, o, r = found.size
    size = [f"{n} {what}{'' if n == 1 else 's'}" for n, what in zip((o, r), ("operator", "trial"))]
    lines = [f"study    {p} parts, {', '.join(size)}"]
    for w in found.operators:
        facts = [f"kappa {_figure(w.kappa if w.effective else w.within)}"]
        rates = [("right", w.effective), ("misses", w.miss), ("false alarms", w.false_alarm)]
        if w.effective is None and r > 1:
            rates = [("repeated", w.repeated)]
        for name, rate in rates:
            if rate is not None and rate.exact is not None:
                low, high = rate.exact
                span = f"95 %: {low:.1%} to {high:.1%}"
                facts.append(f"{name} {rate.value:.1%} ({rate.count}/{rate.total}, {span})")
        lines.append(f"operator {w.name}: " + ", ".join(facts))
    lines += [f"pair     {a} and {b}: kappa {_figure(k)}" for a, b, k in found.between]
    low, high = found.agreed.exact or (0.0, 1.0)
    lines.append(f"fleiss   kappa {_figure(found.fleiss)}")
    lines.append(f"agreed   on {found.agreed.count} of {p} parts (95 %: {low:.0%} to {high:.0%})")
    lines += [f"warning  {text}" for text in found.warnings]
    lines.append(f"verdict  {found.verdict}. {AGREEMENT[found.verdict]}")
    return lines


def write_study(
    folder: Path, name: str, title: str, result: Dict[str, Any], sections: Sequence[Any]
) -> Path:
    """Write a page, its tables and the figures as JSON; gives the path of the page.

    Raises:
        StorageError: The folder cannot be written.
    """
    from ...dashboard.quality import quality_page
    from ...runtime.files import write_whole

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"{folder} cannot be made",
            got=error.strerror or str(error),
            remedy="choose another folder",
        ) from None
    files: List[Tuple[str, str]] = [item for s in sections for item in s.tables.items()]
    files.append((f"{name}.json", json.dumps(result, indent=2) + "\n"))
    for file, text in files:
        write_whole(folder / file, text.encode("utf-8"))
    page = folder / f"{name}.html"
    write_whole(page, quality_page(title, sections).encode("utf-8"))
    return page


def _figure(kappa: Optional[float]) -> str:
    return "not defined" if kappa is None else f"{kappa:.2f}"
