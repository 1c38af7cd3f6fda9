"""A small U-Net over the bank's features, trained from scratch with torch on made-up and known
defects. It sees further around a place than the perceptron does.

U-Net: Ronneberger et al. (2015); the idea of a discriminator on made-up defects: DRAEM,
Zavrtanik et al. (2021). torch is imported when a training begins.
"""

import math
from typing import Any, Callable, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ..sources import load_torch
from .features import Features, against_mean
from .methods import Looked, Method
from .tape import Ref, Tape

BATCH = 8
RATE, DECAY = 3e-3, 0.05
TOP = 16
SECONDS = 0.16 / 4096
"""Of a step and a place, on one core: what minutes are turned into steps by."""


class Conv(NamedTuple):
    """A convolution with its batch norm folded in: weight `(o, i, k, k)`, bias `(o,)`."""

    weight: np.ndarray
    bias: np.ndarray
    stride: int = 1


def build(channels: int, mean: np.ndarray, std: np.ndarray) -> Any:
    """The module: `(n, channels, h, w)` to logits `(n, 1, h, w)`; h and w divide by 4."""
    torch = load_torch()
    nn = torch.nn

    def block(i: int, o: int, k: int = 3, stride: int = 1) -> Any:
        return nn.Sequential(
            nn.Conv2d(i, o, k, stride, k // 2, bias=False), nn.BatchNorm2d(o), nn.ReLU()
        )

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("mean", torch.from_numpy(mean[None, :, None, None]))
            self.register_buffer("std", torch.from_numpy(std[None, :, None, None]))
            self.drop = nn.Dropout2d(0.1)
            self.enter = block(channels, 48, 1)
            self.fine = block(48, 32)
            self.middle = nn.Sequential(block(32, 48, 3, 2), block(48, 48))
            self.quarter = nn.Sequential(block(48, 64, 3, 2), block(64, 64), block(64, 64))
            self.up_half = block(112, 48)
            self.up_fine = block(80, 32)
            self.leave = nn.Conv2d(80, 1, 1)
            nn.init.constant_(self.leave.bias, -3.0)

        def forward(self, x: Any) -> Any:
            def twice(t: Any) -> Any:
                return nn.functional.interpolate(
                    t, scale_factor=2, mode="bilinear", align_corners=False
                )

            entered = self.enter(self.drop((x - self.mean) / self.std))
            fine = self.fine(entered)
            half = self.middle(fine)
            quarter = self.quarter(half)
            half = self.up_half(torch.cat([half, twice(quarter)], 1))
            fine = self.up_fine(torch.cat([fine, twice(half)], 1))
            return self.leave(torch.cat([fine, entered], 1))

    return Net()


class Network(Method):
    """The trained module.

    Args:
        module: Of `build`, in eval mode.
    """

    name = "network"

    def __init__(self, module: Any) -> None:
        self.module = module

    @classmethod
    def learn(
        cls,
        good: Sequence[Looked],
        bad: Sequence[Looked],
        seed: int,
        minutes: float,
        told: Optional[Callable[[float], None]] = None,
    ) -> "Network":
        """From good parts, and made-up or known defects on others, in so many steps as the
        minutes hold on a usual core."""
        torch = load_torch()
        places = good[0].valid.size
        steps = max(int(minutes * 60 / (SECONDS * places)), 20)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            threads = torch.get_num_threads()
            torch.set_num_threads(1)
            try:
                module = _train(torch, good, bad, np.random.default_rng(seed), steps, told)
            finally:
                torch.set_num_threads(threads)
        return cls(module)

    def _forward(self, whole: np.ndarray) -> np.ndarray:
        torch = load_torch()
        with torch.no_grad():
            return self.module(torch.from_numpy(np.ascontiguousarray(whole))[None])[0].numpy()

    def heat(self, look: Looked) -> np.ndarray:
        return self._forward(_whole(look))[0]

    def add(self, tape: Tape, features: Features) -> Ref:
        """The graph by hand, layer by layer; what it is compared with is torch itself."""
        net = self.module
        whole = against_mean(tape, features)
        mean, std = (b.numpy().reshape(-1, 1, 1) for b in (net.mean, net.std))
        x = tape.affine(tape.affine(whole, 1.0, -mean), 1 / std)

        def through(x: Ref, blocks: Any) -> Ref:
            for conv in blocks:
                x = tape.relu(tape.conv(x, *conv))
            return x

        entered = through(x, _folded(net.enter))
        fine = through(entered, _folded(net.fine))
        half = through(fine, [c for b in net.middle for c in _folded(b)])
        quarter = through(half, [c for b in net.quarter for c in _folded(b)])
        half = through(tape.concat([half, tape.enlarge(quarter, 2)]), _folded(net.up_half))
        fine = through(tape.concat([fine, tape.enlarge(half, 2)]), _folded(net.up_fine))
        last = net.leave
        logits = tape.conv(
            tape.concat([fine, entered]),
            last.weight.detach().numpy(),
            last.bias.detach().numpy(),
        )
        tape.stand_in(logits, whole, self._forward)
        return logits


def _folded(block: Any) -> List[Conv]:
    conv, norm = block[0], block[1]
    gain = (norm.weight / (norm.running_var + norm.eps).sqrt()).detach().double()
    weight = conv.weight.detach().double() * gain[:, None, None, None]
    bias = norm.bias.detach().double() - norm.running_mean.double() * gain
    return [Conv(weight.float().numpy(), bias.float().numpy(), conv.stride[0])]


def _whole(look: Looked) -> np.ndarray:
    values = look.values.astype(np.float32)
    mean = values[:, look.valid].mean(axis=1) if look.valid.any() else values.mean(axis=(1, 2))
    return np.concatenate((values, values - mean[:, None, None]))


def _train(
    torch: Any,
    good: Sequence[Looked],
    bad: Sequence[Looked],
    random: np.random.Generator,
    steps: int,
    told: Optional[Callable[[float], None]],
) -> Any:
    some = [_whole(g).reshape(2 * len(g.values), -1)[:, ::37] for g in good]
    table = np.concatenate(some, axis=1)
    std = (table.std(axis=1) + 1e-3).astype(np.float32)
    net = build(len(table), table.mean(axis=1).astype(np.float32), std)
    kept = build(len(table), table.mean(axis=1).astype(np.float32), std)
    kept.load_state_dict(net.state_dict())
    scale = torch.nn.Parameter(torch.tensor([0.5, 0.0]))
    groups = [
        {"params": list(net.parameters()), "weight_decay": DECAY},
        {"params": [scale], "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, lr=RATE)
    share = np.cumsum([b.weight for b in bad])
    wrong = (5 * BATCH + 7) // 8
    for step in range(steps):
        rate = min(1.0, (step + 1) / 50) * (0.02 + 0.49 * (1 + math.cos(math.pi * step / steps)))
        for group in optimiser.param_groups:
            group["lr"] = RATE * rate
        drawn = np.searchsorted(share, random.random(wrong) * share[-1], "right")
        chosen = [bad[min(int(i), len(bad) - 1)] for i in drawn]
        chosen += [good[int(i)] for i in random.integers(len(good), size=BATCH - wrong)]
        loss = _loss(torch, net, scale, *_batch(torch, chosen))
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimiser.step()
        _average(torch, kept, net, min(0.995, (step + 1) / (step + 20)))
        if told is not None and step % 20 == 0:
            told(step / steps)
    return kept.eval()


def _batch(torch: Any, chosen: Sequence[Looked]) -> Tuple[Any, Any, Any]:
    x = np.stack([_whole(c) for c in chosen])
    valid = np.stack([c.valid for c in chosen])[:, None].astype(np.float32)
    empty = np.zeros(chosen[0].valid.shape, bool)
    truth = np.stack([empty if c.defect is None else c.defect & c.valid for c in chosen])[:, None]
    return torch.from_numpy(x), torch.from_numpy(valid), torch.from_numpy(truth.astype(np.float32))


def _loss(torch: Any, net: Any, scale: Any, x: Any, valid: Any, truth: Any) -> Any:
    """Every place, the overlap (Dice), and the part by its worst places."""
    logits = net(x)
    entropy = torch.nn.functional.binary_cross_entropy_with_logits
    weight = valid * (1 + 4 * truth)
    places = (entropy(logits, truth, reduction="none") * weight).sum() / weight.sum()
    chance = logits.sigmoid() * valid
    defect = (truth.sum((1, 2, 3)) > 0).float()
    shared = (chance * truth).sum((1, 2, 3))
    dice = 1 - (2 * shared + 1) / (chance.sum((1, 2, 3)) + truth.sum((1, 2, 3)) + 1)
    worst = (logits - 30 * (1 - valid)).flatten(1).topk(TOP, 1).values.mean(1)
    part = entropy(worst * scale[0] + scale[1], defect)
    return 2 * places + (dice * defect).mean() + 0.5 * part


def _average(torch: Any, kept: Any, net: Any, share: float) -> None:
    with torch.no_grad():
        for old, new in zip(kept.state_dict().values(), net.state_dict().values()):
            if old.dtype.is_floating_point:
                old.mul_(share).add_(new, alpha=1 - share)
            else:
                old.copy_(new)
