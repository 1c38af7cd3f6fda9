"""Train the detector of people from scratch, on rendered stores alone.

python -m edgelane.export.zoo.train --out DIR [--minutes N] [--resume]

Renders the pictures into DIR once, trains, writes `model.onnx` and measures it. Seed and steps
decide the result; a run that was interrupted goes on with --resume as if it had not been. With
--minutes the learning rate follows the clock instead, so that the training ends in time.
"""

import argparse
import contextlib
import copy
import json
import math
import os
import sys
import time
from pathlib import Path
from typing import Any, Dict, Iterator, Optional, Sequence

import torch
from torch.utils.data import DataLoader

from ...core import UsageError
from .loss import loss_of
from .model import SIZE, Detector, cells, parameters, state_of
from .pictures import render_pictures
from .samples import Batches

BATCH = 16
STEPS = 8000
RATE = 2e-3
DECAY = 0.02
_WARM = 200  # steps until the full rate
_LAST = 0.02  # share of the rate at the end


class Training:
    """A training: the weights, their running mean, the optimiser, and how far it is.

    Attributes:
        model: The weights that learn.
        mean: Their running mean, which is what is exported.
        step: Steps done.
        seconds: Spent so far.
    """

    def __init__(self, seed: int = 0, device: str = "cpu", bf16: bool = False) -> None:
        torch.manual_seed(seed)
        self.seed, self.device, self.bf16 = seed, torch.device(device), bf16
        self.model = Detector().to(self.device)
        self.mean = copy.deepcopy(self.model).eval()
        shrink = [p for p in self.model.parameters() if p.ndim > 1]
        keep = [p for p in self.model.parameters() if p.ndim <= 1]
        groups = [{"params": shrink, "weight_decay": DECAY}, {"params": keep, "weight_decay": 0.0}]
        self.optimiser = torch.optim.AdamW(groups, lr=RATE)
        self.step, self.seconds = 0, 0.0
        self._points, self._steps = cells(*SIZE, self.device)

    def learn(self, batch: Sequence[torch.Tensor], progress: float) -> Dict[str, float]:
        """One step.

        Args:
            batch: Images, boxes and kinds of `samples.Batches`.
            progress: Share of the training that is done, 0 to 1: decides the rate.
        """
        images, boxes, kinds = (part.to(self.device, non_blocking=True) for part in batch)
        wave = 0.5 + 0.5 * math.cos(math.pi * min(progress, 1.0))
        rate = RATE * (_LAST + (1 - _LAST) * wave) * min(1.0, (self.step + 1) / _WARM)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.model.train()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            raw = self.model.raw(images.float())
        loss, parts = loss_of(raw, self._points, self._steps, boxes, kinds)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 10.0)
        self.optimiser.step()
        self.step += 1
        self._follow(0.998 * (1 - math.exp(-self.step / 300)))
        return {"loss": loss.item(), "rate": rate, **parts}

    @torch.no_grad()
    def _follow(self, keep: float) -> None:
        for mean, new in zip(self.mean.state_dict().values(), self.model.state_dict().values()):
            if mean.is_floating_point():
                mean.lerp_(new, 1 - keep)
            else:
                mean.copy_(new)

    def save(self, path: Path) -> None:
        """Write everything that going on needs, in one step."""
        state = {
            "seed": self.seed,
            "step": self.step,
            "seconds": self.seconds,
            "model": state_of(self.model),
            "mean": state_of(self.mean),
            "optimiser": self.optimiser.state_dict(),
        }
        part = path.with_name(path.name + ".part")
        torch.save(state, part)
        os.replace(part, path)

    def load(self, path: Path) -> None:
        """Go on where `save` was.

        Raises:
            UsageError: There is nothing to go on with, or it has another seed.
        """
        if not path.exists():
            raise UsageError(f"{path} does not exist", remedy="start without --resume")
        state = torch.load(path, map_location=self.device, weights_only=True)
        if state["seed"] != self.seed:
            raise UsageError("the training has another seed", got=self.seed, expected=state["seed"])
        self.model.load_state_dict(state["model"])
        self.mean.load_state_dict(state["mean"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.seconds = state["step"], state["seconds"]


def _quick_bf16(device: str) -> bool:
    if device != "cpu":
        return True
    with contextlib.suppress(OSError):
        return "avx512_bf16" in Path("/proc/cpuinfo").read_text()
    return False


def train(
    out: Path,
    *,
    seed: int = 0,
    stores: int = 600,
    steps: int = STEPS,
    minutes: Optional[float] = None,
    resume: bool = False,
    workers: int = 1,
    threads: Optional[int] = None,
) -> Training:
    """Render what is missing, and train.

    Args:
        out: Folder for pictures, checkpoint and log; made if it is not there.
        seed: Of weights and samples.
        stores: Rendered stores to learn from.
        steps: Steps of `BATCH` samples.
        minutes: Instead of steps: end after so much training.
        resume: Go on with the checkpoint in `out`.
        workers: Processes that make samples and render.
        threads: For torch; None is one for each core that makes no samples: two threads that
            share a core wait for each other.

    Raises:
        UsageError: Nothing to resume, or a training is there and `resume` is off.
    """
    checkpoint = out / "checkpoint.pt"
    if checkpoint.exists() and not resume:
        raise UsageError(f"{checkpoint} is there already", remedy="add --resume, or another --out")
    render_pictures(out / "pictures", stores, max(workers, os.cpu_count() or 1))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_num_threads(threads or max((os.cpu_count() or 1) - workers, 1))
    training = Training(seed, device, _quick_bf16(device))
    if resume:
        training.load(checkpoint)
    if minutes is not None:
        steps = 10**6
    with open(out / "log.jsonl", "a", encoding="utf-8") as log:
        batches = Batches(out / "pictures", seed, steps, BATCH, SIZE, stores)
        _run(training, out, batches, minutes, workers, log)
    training.save(checkpoint)
    return training


def _run(
    training: Training,
    out: Path,
    batches: Batches,
    minutes: Optional[float],
    workers: int,
    log: Any,
) -> None:
    steps = len(batches)
    before, started, saved = training.seconds, time.monotonic(), time.monotonic()
    mean_loss = 0.0
    for batch in _in_order(batches, training.step, workers):
        progress = training.step / steps
        if minutes is not None:
            progress = training.seconds / (60 * minutes)
        if progress >= 1 or training.step >= steps:
            break
        parts = training.learn(batch, progress)
        now = time.monotonic()
        training.seconds = before + now - started
        mean_loss = 0.98 * mean_loss + 0.02 * parts["loss"] if mean_loss else parts["loss"]
        if training.step % 50 == 0:
            parts.update(step=training.step, seconds=training.seconds, mean=mean_loss)
            log.write(json.dumps({k: round(v, 5) for k, v in parts.items()}) + "\n")
            log.flush()
            line = f"step {training.step}, {100 * progress:.1f} %, loss {mean_loss:.3f}, "
            print(line + f"{training.seconds / 60:.1f} min", file=sys.stderr, flush=True)
        if now - saved > 60:
            training.save(out / "checkpoint.pt")
            saved = now


def _in_order(batches: Batches, start: int, workers: int) -> Iterator[Any]:
    """Batches from a number on, made ahead by other processes."""
    rest = range(start, len(batches))
    yield from DataLoader(
        batches,
        batch_size=None,
        sampler=rest,
        num_workers=workers,
        prefetch_factor=4 if workers else None,
    )


def main(arguments: Optional[Sequence[str]] = None) -> None:
    """Train as the command line says, and export."""
    from .evaluate import evaluate
    from .ship import ship

    parser = argparse.ArgumentParser(
        prog="python -m edgelane.export.zoo.train", description=str(__doc__).split("\n")[0]
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for everything it writes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--stores", type=int, default=600, help="rendered stores to learn from")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--minutes", type=float, help="train so long instead of --steps")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--workers", type=int, default=1, help="processes that make samples")
    parser.add_argument("--threads", type=int, help="of torch; the cores that are left")
    options = vars(parser.parse_args(arguments))
    training = train(**options)
    print(f"{parameters(training.model)} parameters, {training.step} steps", file=sys.stderr)
    print(ship(options["out"]))
    print(json.dumps(evaluate(options["out"] / "model.onnx", stamp="unseen_seeds"), indent=2))


if __name__ == "__main__":
    main()
