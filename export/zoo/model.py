"""The network: small, anchor-free, of plain convolutions and ReLU, which every runtime fuses.

Its output is laid out as YOLOX's (Ge et al., 2021): of each cell of strides 8, 16 and 32 the
centre's offset in cells, the logarithm of the size in strides, a score, and the class's share of
it, which is 1: there is one class.
"""

import copy
from typing import Dict, List, Sequence, Tuple

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

STRIDES = (8, 16, 32)
SIZE = (416, 256)
"""Width and height of the input in pixels."""


class Block(nn.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.03)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.relu(self.norm(self.conv(x)))


class Stage(nn.Module):
    """Half of the channels goes through 3x3 convolutions; every result is kept and mixed."""

    def __init__(self, inputs: int, outputs: int, depth: int, residual: bool = True) -> None:
        super().__init__()
        self.inner = outputs // 2
        self.residual = residual
        self.enter = Block(inputs, 2 * self.inner, 1)
        self.steps = nn.ModuleList(Block(self.inner, self.inner) for _ in range(depth))
        self.leave = Block((2 + depth) * self.inner, outputs, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.enter(x)
        parts = [x]
        last = x[:, self.inner :]
        for step in self.steps:
            last = last + step(last) if self.residual else step(last)
            parts.append(last)
        return self.leave(torch.cat(parts, 1))


class Pool(nn.Module):
    """Maxima over ever wider windows: what is around a cell."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.enter = Block(channels, channels // 2, 1)
        self.leave = Block(2 * channels, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        parts = [self.enter(x)]
        for _ in range(3):
            parts.append(functional.max_pool2d(parts[-1], 5, 1, 2))
        return self.leave(torch.cat(parts, 1))


class Detector(nn.Module):
    """A detector of one class.

    Args:
        widths: Channels at strides 2, 4, 8, 16 and 32.
        neck: Channels of the three maps that the head reads.
    """

    def __init__(
        self, widths: Sequence[int] = (16, 24, 48, 96, 128), neck: Sequence[int] = (48, 64, 80)
    ) -> None:
        super().__init__()
        self.gain = 1 / 64  # of the input; a shift would not fold into a convolution that pads
        w2, w4, w8, w16, w32 = widths
        n8, n16, n32 = neck
        self.stem = nn.Sequential(Block(3, w2, 3, 2), Block(w2, w4, 3, 2))
        self.stage8 = nn.Sequential(Block(w4, w8, 3, 2), Stage(w8, w8, 2))
        self.stage16 = nn.Sequential(Block(w8, w16, 3, 2), Stage(w16, w16, 2))
        self.stage32 = nn.Sequential(Block(w16, w32, 3, 2), Pool(w32), Stage(w32, w32, 1))
        self.top = Block(w32, n16, 1)
        self.merge16 = Stage(n16 + w16, n16, 1, residual=False)
        self.narrow = Block(n16, n8, 1)
        self.merge8 = Stage(n8 + w8, n8, 1, residual=False)
        self.down16 = Block(n8, n8, 3, 2)
        self.out16 = Stage(n8 + n16, n16, 1, residual=False)
        self.down32 = Block(n16, n16, 3, 2)
        self.out32 = Stage(n16 + n16, n32, 1, residual=False)
        head = [n // 2 if n > 48 else n for n in neck]
        self.score_of = nn.ModuleList(Block(n, m) for n, m in zip(neck, head))
        self.box_of = nn.ModuleList(Block(n, m) for n, m in zip(neck, head))
        scores, boxes = [nn.Conv2d(n, 1, 1) for n in head], [nn.Conv2d(n, 4, 1) for n in head]
        for score, box in zip(scores, boxes):
            assert score.bias is not None and box.bias is not None
            nn.init.constant_(score.bias, -4.6)  # few cells hold anybody
            nn.init.normal_(box.weight, std=0.01)
            box.bias.data.copy_(torch.tensor([0.5, 0.5, 0.7, 1.4]))
        self.score, self.box = nn.ModuleList(scores), nn.ModuleList(boxes)

    def features(self, x: torch.Tensor) -> List[torch.Tensor]:
        x8 = self.stage8(self.stem(x))
        x16 = self.stage16(x8)
        top = self.top(self.stage32(x16))
        mid = self.merge16(torch.cat((functional.interpolate(top, scale_factor=2.0), x16), 1))
        small = self.narrow(mid)
        y8 = self.merge8(torch.cat((functional.interpolate(small, scale_factor=2.0), x8), 1))
        y16 = self.out16(torch.cat((self.down16(y8), mid), 1))
        y32 = self.out32(torch.cat((self.down32(y16), top), 1))
        return [y8, y16, y32]

    def raw(self, x: torch.Tensor) -> Tuple[torch.Tensor, torch.Tensor]:
        """Boxes `(n, cells, 4)` and scores `(n, cells)` before the sigmoid.

        Args:
            x: `(n, 3, h, w)` BGR, 0..255; h and w are multiples of 32.
        """
        boxes, scores = [], []
        for k, y in enumerate(self.features(x if self.gain == 1 else x * self.gain)):
            boxes.append(self.box[k](self.box_of[k](y)).flatten(2))
            scores.append(self.score[k](self.score_of[k](y)).flatten(2))
        return torch.cat(boxes, 2).transpose(1, 2), torch.cat(scores, 2)[:, 0]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`(n, cells, 6)` in YOLOX's layout."""
        boxes, scores = self.raw(x)
        table = torch.cat((boxes, scores.sigmoid()[:, :, None]), 2)
        return functional.pad(table, (0, 1), value=1.0)


def fused(model: Detector) -> Detector:
    """A copy for inference: batch norms and the input's scale are folded into convolutions."""
    model = copy.deepcopy(model).eval()
    for module in model.modules():
        if isinstance(module, Block):
            module.conv = fuse_conv_bn_eval(module.conv, module.norm)  # type: ignore[arg-type]
            module.norm = nn.Identity()  # type: ignore[assignment]
    first = model.stem[0]
    assert isinstance(first, Block)
    first.conv.weight.data *= model.gain
    model.gain = 1.0
    return model


def parameters(model: nn.Module) -> int:
    """How many numbers a model has learnt."""
    return sum(p.numel() for p in model.parameters())


def cells(width: int, height: int, device: torch.device) -> Tuple[torch.Tensor, torch.Tensor]:
    """Corners `(cells, 2)` in pixels and strides `(cells,)` of an input's cells, in their order."""
    points, steps = [], []
    for stride in STRIDES:
        rows, columns = height // stride, width // stride
        y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
        points.append(torch.stack((x, y), 2).reshape(-1, 2) * stride)
        steps.append(torch.full((rows * columns,), stride))
    return torch.cat(points).float().to(device), torch.cat(steps).float().to(device)


def decode(boxes: torch.Tensor, points: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
    """`(n, cells, 4)` raw boxes as corners in pixels of the input."""
    centre = boxes[..., :2] * steps[:, None] + points
    half = 0.5 * torch.exp(boxes[..., 2:].clamp(max=6.0)) * steps[:, None]
    return torch.cat((centre - half, centre + half), -1)


def state_of(model: nn.Module) -> Dict[str, torch.Tensor]:
    """A copy of the weights, on the CPU."""
    return {k: v.detach().cpu().clone() for k, v in model.state_dict().items()}
