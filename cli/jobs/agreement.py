"""Verdicts of cameras and of people on the same parts, put together into one attribute study."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from ...core import DataError, UsageError
from ...core.verdict import UNSURE
from ...pipelines.quality import AttributeStudy, Judgements, attribute_study
from ...pipelines.quality.tables import judgements, read_reference, read_verdicts
from ...runtime.inspect.pictures import known_pictures
from .folder import read_events
from .studies import in_turn, read_table, split_source

LINES = (".jsonl", ".ndjson", ".json")

Rows = List[Tuple[str, str, str, str]]
"""Part, operator, trial and verdict."""


def agree(
    sources: Sequence[str],
    reference: Optional[str] = None,
    *,
    fail: Optional[str] = None,
    unsure: Optional[str] = None,
) -> AttributeStudy:
    """How well verdicts on the same parts agree with each other, and with what the parts are.

    Args:
        sources: Each `PATH` or `OPERATOR=PATH`: a run folder of a recipe; lines of JSON from
            `edgelane inspect --json`; or a CSV with the columns part, operator, trial, verdict
            and, if known, reference. A run's operator is its recipe with the version. Each is a
            trial of its own: two runs of one recipe are two trials.
        reference: What the parts are: a CSV with the columns part and reference, or a folder with
            folders `pass` and `fail` of pictures by the names of the parts.
        fail: As for `attribute_study`.
        unsure: Verdict that `unsure` counts as: `fail` where the line puts such parts out.

    Raises:
        UsageError: A path is none of these.
        DataError: Parts or trials are missing, or a part has two references.
    """
    rows: Rows = []
    known: Dict[str, str] = {}
    aliases: Dict[str, str] = {}
    for number, source in enumerate(sources, 1):
        operator, path = split_source(source)
        if path.is_dir():
            found = _of_run(path, operator, aliases)
        elif path.suffix.lower() in LINES:
            found = _of_lines(path, operator or path.stem)
        else:
            if operator is not None:
                raise UsageError(
                    f"{path} names its operators itself", remedy=f"leave {operator}= out"
                )
            found, told = read_verdicts(read_table(path))
            _join(known, told, str(path))
        rows += [(part, who, f"{number}.{trial}", said) for part, who, trial, said in found]
    if reference is not None:
        _join(known, _reference(Path(reference)), reference)
    # A run's part may be named by its number or by its serial number elsewhere.
    rows = [(aliases.get(part, part), who, trial, said) for part, who, trial, said in rows]
    known = {aliases.get(part, part): said for part, said in known.items()}
    study = judgements(in_turn(rows), _of(rows, known) if known else None)
    if unsure is not None:
        study = _counted(study, unsure)
    return attribute_study(study, fail)


def _of_run(folder: Path, operator: Optional[str], aliases: Dict[str, str]) -> Rows:
    rows: Rows = []
    for event in read_events(folder, "verdict"):
        told = event.payload
        part = str(told["part"])
        who = operator or f"{told.get('recipe', folder.name)} v{told.get('version', '?')}"
        aliases[str(told["serial"])] = part
        rows.append((part, who, "1", str(told["verdict"])))
    if not rows:
        raise DataError(f"the run {folder} has no verdicts", expected="the run of a recipe")
    return rows


def _of_lines(path: Path, operator: str) -> Rows:
    rows: Rows = []
    for number, line in enumerate(read_table(path).splitlines(), 1):
        if not line.strip():
            continue
        try:
            told = json.loads(line)
            rows.append((Path(told["image"]).stem, operator, "1", str(told["verdict"])))
        except (ValueError, TypeError, KeyError):
            raise DataError(
                f"line {number} of {path} is no verdict",
                expected="what edgelane inspect --json prints",
            ) from None
    if not rows:
        raise DataError(f"{path} holds no verdicts", expected="what edgelane inspect --json prints")
    return rows


def _reference(path: Path) -> Dict[str, str]:
    if not path.is_dir():
        return read_reference(read_table(path))
    found: Dict[str, str] = {}
    for verdict, _, picture in known_pictures(path):
        if found.setdefault(picture.stem, verdict) != verdict:
            raise DataError(f"{picture.stem} lies in two folders of {path}")
    return found


def _join(known: Dict[str, str], more: Optional[Mapping[str, str]], where: str) -> None:
    for part, said in (more or {}).items():
        if known.setdefault(part, said) != said:
            raise DataError(
                f"part {part} has two references", got=f"{said!r} in {where} after {known[part]!r}"
            )


def _of(rows: Rows, known: Mapping[str, str]) -> Dict[str, str]:
    """The references of the parts that were judged."""
    parts = dict.fromkeys(part for part, _, _, _ in rows)
    lacking = [part for part in parts if part not in known]
    if lacking:
        raise DataError(
            f"{len(lacking)} of {len(parts)} parts have no reference",
            got=", ".join(lacking[:3]) + (" …" if len(lacking) > 3 else ""),
            expected="what each part truly is, by the name it has in the study",
        )
    return {part: known[part] for part in parts}


def _counted(study: Judgements, unsure: str) -> Judgements:
    verdicts = np.where(study.verdicts == UNSURE, unsure.lower(), study.verdicts)
    return replace(study, verdicts=verdicts)
