"""Markup and tables of a section: text in, escaped HTML or CSV out."""

import csv
import io
from html import escape
from typing import Any, Sequence, Tuple

from .plots import SERIES


def csv_text(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Rows as CSV text; None is an empty field, numbers keep every figure."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([["" if v is None else v for v in row] for row in rows])
    return out.getvalue()


def cards(figures: Sequence[Tuple[str, str, str, str]]) -> str:
    """Figures in a row: name, value, note and class of each."""
    return '<ul class="cards">' + "".join(
        f'<li class="{kind}"><span>{escape(name)}</span><strong>{escape(value)}</strong>'
        f"<small>{escape(note)}</small></li>"
        for name, value, note, kind in figures
    ) + "</ul>"  # fmt: skip


def notices(texts: Sequence[str]) -> str:
    """What a reader must know, one line each."""
    if not texts:
        return ""
    items = "".join(f'<li class="note">{escape(text)}</li>' for text in texts)
    return f'<ul class="notices">{items}</ul>'


def block(title: str, body: str) -> str:
    """A card with a heading; `body` is markup."""
    return f'<div class="block"><h3>{escape(title)}</h3>{body}</div>'


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows of text, the first cell of each its heading."""
    top = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    lines = "".join(
        f'<tr><th scope="row">{escape(row[0])}</th>'
        + "".join(f"<td>{escape(cell)}</td>" for cell in row[1:])
        + "</tr>"
        for row in rows
    )
    return scroll(f"<table><thead><tr>{top}</tr></thead><tbody>{lines}</tbody></table>")


def facts(rows: Sequence[Tuple[str, str]]) -> str:
    """Names and values, a line each."""
    lines = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in rows
    )
    return f'<dl class="facts">{lines}</dl>'


def count(number: int, what: str) -> str:
    """`1 point`, `3 points`."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def bars(values: Sequence[Tuple[str, float]], unit: str) -> str:
    """Horizontal bars, the longest as wide as there is room."""
    most = max((v for _, v in values), default=0.0) or 1.0
    return '<dl class="bars">' + "".join(
        f'<div><dt>{escape(name)}</dt><dd><span class="bar" style="width:{100 * v / most:.1f}%">'
        f"</span><b>{v:.1f}{unit}</b></dd></div>"
        for name, v in values
    ) + "</dl>"  # fmt: skip


def legend(names: Sequence[str]) -> str:
    """Which line style is whose."""
    return '<p class="key">' + "".join(
        f'<span><i class="series s{i % SERIES}"></i>{escape(name)}</span>'
        for i, name in enumerate(names)
    ) + "</p>"  # fmt: skip


def scroll(body: str) -> str:
    """Markup that may be wider than a phone."""
    return f'<div class="scroll">{body}</div>'


def fine(text: str) -> str:
    """A note in small print."""
    return f'<p class="fine">{escape(text)}</p>'
