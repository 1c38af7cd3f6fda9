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
    count = len(boxes)
    centre = points + 0.5 * steps[:, None]
    # Only rows that hold somebody: most of the padded ones are empty.
    image, number = (kinds == 2).nonzero(as_tuple=True)
    ignored = torch.zeros(count, len(points), device=boxes.device)
    ignored.index_add_(0, image, _inside(centre, boxes[image, number]).float())
    image, number = (kinds == 1).nonzero(as_tuple=True)
    quality, row = torch.zeros_like(scores), torch.zeros_like(scores)
    if len(image):
        true = boxes[image, number]
        allowed = _inside(centre, true)
        middle = 0.5 * (true[:, :2] + true[:, 2:])
        near_x = (centre[:, 0] - middle[:, :1]).abs() < steps
        near_y = (centre[:, 1] - middle[:, 1:]).abs() < steps
        allowed |= near_x & near_y
        iou = _table(found, true, image) * allowed
        fit = scores[image].clamp(min=1e-4).sqrt() * iou.square().square()
        best = fit.topk(_CELLS, dim=-1)
        chosen = torch.zeros_like(fit).scatter_(-1, best.indices, (best.values > 1e-9).float())
        # A cell that several want answers for the one it fits best.
        iou = iou * chosen
        where = image[:, None].expand_as(iou)
        most = torch.zeros_like(scores).scatter_reduce_(0, where, iou, "amax")
        mine = (iou > 0) & (iou == most[image])
        fit, iou = fit * mine, iou * mine
        share = fit / fit.amax(-1, keepdim=True).clamp(min=1e-9)
        wanted = share * iou.amax(-1, keepdim=True)
        quality.scatter_reduce_(0, where, wanted, "amax")
        row.scatter_reduce_(0, where, number[:, None] * mine.float(), "amax")
    return Assignment(quality, row.long(), ignored > 0)


def _inside(centre: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
    """`(k, cells)`: is the cell's centre within the box?"""
    x, y = centre.unbind(-1)
    left, top, right, bottom = boxes[:, :, None].unbind(1)
    return (x > left) & (x < right) & (y > top) & (y < bottom)


def _table(found: torch.Tensor, true: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
    """`(k, cells)`: how far what each cell found overlaps each of `(k, 4)` true boxes."""
    ax, ay, bx, by = found.unbind(-1)
    area = ((bx - ax) * (by - ay))[image]
    left, top, right, bottom = true[:, :, None].unbind(1)
    wide = (torch.minimum(bx[image], right) - torch.maximum(ax[image], left)).clamp_(min=0)
    high = (torch.minimum(by[image], bottom) - torch.maximum(ay[image], top)).clamp_(min=0)
    shared = wide.mul_(high)
    return shared / (area + (right - left) * (bottom - top) - shared + 1e-6)


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
