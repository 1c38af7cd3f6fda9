"""Which cells answer for whom, and what their answers cost.

Cells are given to people by how well they already score and fit (task-aligned assignment, Feng et
al., TOOD, 2021); scores learn the quality of the fit, boxes the complete IoU (Zheng et al., 2020).
"""

import math
from typing import Dict, NamedTuple, Tuple

import torch
from torch.nn import functional

from .model import decode

_CELLS = 9  # that answer for one person, at most
_BOX, _SCORE = 3.0, 1.0  # weights


class Assignment(NamedTuple):
    """Who each cell answers for.

    Attributes:
        quality: `(n, cells)` what its score should be; 0 for cells that answer for nobody.
        row: `(n, cells)` row of the box.
        ignored: `(n, cells)` bool: the cell lies on somebody who need not be found.
    """

    quality: torch.Tensor
    row: torch.Tensor
    ignored: torch.Tensor


def overlap(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Intersection over union of boxes of corners, broadcast. `(..., 4)` each → `(...)`."""
    low, high = torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])
    shared = (high - low).clamp(min=0).prod(-1)
    total = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1)
    return shared / (total - shared + 1e-6)


def complete_overlap(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Complete IoU of boxes of corners, row by row: lower for centres and shapes that differ."""
    iou = overlap(a, b)
    low, high = torch.minimum(a[..., :2], b[..., :2]), torch.maximum(a[..., 2:], b[..., 2:])
    reach = (high - low).square().sum(-1) + 1e-6
    apart = (a[..., :2] + a[..., 2:] - b[..., :2] - b[..., 2:]).square().sum(-1) / 4
    wa, ha = (a[..., 2:] - a[..., :2]).clamp(min=1e-3).unbind(-1)
    wb, hb = (b[..., 2:] - b[..., :2]).clamp(min=1e-3).unbind(-1)
    shape = 4 / math.pi**2 * (torch.atan(wb / hb) - torch.atan(wa / ha)).square()
    with torch.no_grad():
        weight = shape / (1 - iou + shape + 1e-6)
    return iou - apart / reach - weight * shape


@torch.no_grad()
def assign(
    scores: torch.Tensor,
    found: torch.Tensor,
    points: torch.Tensor,
    steps: torch.Tensor,
    boxes: torch.Tensor,
    kinds: torch.Tensor,
) -> Assignment:
    """Give cells to people.

    Args:
        scores: `(n, cells)` 0..1.
        found: `(n, cells, 4)` corners in pixels.
        points: `(cells, 2)` corners of the cells.
        steps: `(cells,)` strides.
        boxes: `(n, m, 4)` true corners.
        kinds: `(n, m)` 1 to be found, 2 ignored, 0 nobody.
    """
    centre = points + 0.5 * steps[:, None]
    low = centre - boxes[:, :, None, :2]
    high = boxes[:, :, None, 2:] - centre
    inside = torch.cat((low, high), -1).amin(-1) > 0  # (n, m, cells)
    away = (centre - 0.5 * (boxes[:, :, None, :2] + boxes[:, :, None, 2:])).abs().amax(-1)
    ignored = (inside & (kinds == 2)[:, :, None]).any(1)
    allowed = (inside | (away < steps)) & (kinds == 1)[:, :, None]
    iou = overlap(found[:, None], boxes[:, :, None]) * allowed
    fit = scores[:, None].clamp(min=1e-4).sqrt() * iou.pow(4)
    best = fit.topk(_CELLS, dim=-1)
    chosen = torch.zeros_like(fit).scatter_(-1, best.indices, (best.values > 1e-9).float())
    fit, iou = fit * chosen, iou * chosen
    # A cell that several want answers for the one it fits best.
    row = iou.argmax(1)
    mine = functional.one_hot(row, boxes.shape[1]).transpose(1, 2) * chosen
    fit, iou = fit * mine, iou * mine
    quality = fit / fit.amax(-1, keepdim=True).clamp(min=1e-9) * iou.amax(-1, keepdim=True)
    return Assignment(quality.amax(1), row, ignored)


def loss_of(
    raw: Tuple[torch.Tensor, torch.Tensor],
    points: torch.Tensor,
    steps: torch.Tensor,
    boxes: torch.Tensor,
    kinds: torch.Tensor,
) -> Tuple[torch.Tensor, Dict[str, float]]:
    """The loss of a batch, and its parts for the log.

    Args:
        raw: As `Detector.raw` gives it.
        points, steps: As `model.cells` gives them.
        boxes, kinds: As in `assign`.
    """
    found, scores = decode(raw[0].float(), points, steps), raw[1].float()
    given = assign(scores.sigmoid(), found.detach(), points, steps, boxes, kinds)
    taken = given.quality > 0
    total = given.quality.sum().clamp(min=1.0)
    cost = functional.binary_cross_entropy_with_logits(scores, given.quality, reduction="none")
    cost = cost * (taken | ~given.ignored)
    score_loss = cost.sum() / total
    true = boxes.gather(1, given.row[:, :, None].expand(-1, -1, 4))[taken]
    fit = complete_overlap(found[taken], true)
    box_loss = ((1 - fit) * given.quality[taken]).sum() / total
    loss = _SCORE * score_loss + _BOX * box_loss
    parts = {"score": score_loss.item(), "box": box_loss.item(), "cells": int(taken.sum())}
    return loss, parts
