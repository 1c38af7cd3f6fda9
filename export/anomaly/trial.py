"""Candidates judged on parts that they have not learnt from."""

import time
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ...runtime.sources.base import load_cv2
from .calibrate import auroc, auroc_interval
from .defects import KINDS, make_defect, move_defect, relight
from .features import STRIDE, build_features
from .maps import LOW, top_means
from .methods import STEPS, Discriminator, Looked, Method, Statistics, lie_still
from .parts import Parts
from .tape import Tape, session_of

FOLDS = 4
TOPS = (4, 16, 64)
"""How many of the worst places the score is a mean of; chosen like a candidate."""

JUDGED = 0.3
"""Share of a network's time that each of two trainings for judging it takes."""

Told = Callable[[float, str], None]


class Held(NamedTuple):
    """What a candidate says of pictures that it has not learnt from.

    Attributes:
        good: `(n, gh, gw)` raw values of the good parts.
        fake: `(m, gh, gw)` of made-up defects on good parts.
        bad: `(b, gh, gw)` of the known defective parts.
    """

    good: np.ndarray
    fake: np.ndarray
    bad: np.ndarray


class Workbench:
    """Features of all pictures that are learnt from, and the folds they are judged in.

    Args:
        good: Good parts.
        bad: Defective ones; may be empty.
        masks: Of the defective ones.
        padded: Whether pictures may lie in padding.
        coloured: Whether colour tells something.
        seed: Decides folds, made-up defects and weights.
        told: Called with the share done and a line.
        minutes: Time that trainings may take, roughly; it bounds their steps.
    """

    def __init__(
        self,
        good: Parts,
        bad: Parts,
        masks: Sequence[Optional[np.ndarray]],
        padded: bool,
        coloured: bool,
        seed: int,
        told: Told,
        minutes: float = 5.0,
    ) -> None:
        self.good = good
        self.padded, self.coloured, self.seed = padded, coloured, seed
        # At 1.5 ms a step, for one training a fold and the last one, in half of the time.
        self.minutes = minutes
        self.steps = int(np.clip(minutes * 60 * 0.5 / (FOLDS + 1) / 1.5e-3, 500, STEPS))
        self.size = (good.images[0].shape[1], good.images[0].shape[0])
        self.tape = Tape(self.size)
        self.features = build_features(self.tape, padded, coloured)
        # Twice as fast as the reference, which the export is compared with in the end.
        self._session = session_of(
            self.tape.to_onnx_steps([self.features.values, self.features.valid])
        )
        random = np.random.default_rng(seed)
        self.fold = _folds(len(good.images), random)
        count = len(good.images)
        self.looked = [self.look(i) for i in good.images]
        self.still = lie_still(self.looked)
        told(0.1, f"looked at {count} good parts")
        self.made = float(np.clip(minutes * 600, 60, 1200))
        self.teach(bad, masks)
        # Some are learnt from, others are judged by; neither takes a patch from another fold.
        each = int(np.clip(self.made // count, 2, 16))
        self.fakes: List[Looked] = []
        self.fake_of: List[int] = []
        self.trials: List[Looked] = []
        self.trial_of: List[int] = []
        self.trial_kind: List[str] = []
        for number in range(count):
            for turn in range(each):
                kind = KINDS[(number * each + turn) % len(KINDS)]
                self._make(number, kind, random, self.fakes, self.fake_of)
            for turn in range(int(np.clip(self.made // 3 // count, 1, 4))):
                kind = KINDS[(number + turn * 3) % len(KINDS)]
                if self._make(number, kind, random, self.trials, self.trial_of):
                    self.trial_kind.append(kind)
            told(0.1 + 0.4 * (number + 1) / count, f"defects made up on {number + 1} parts")

    def _make(
        self,
        number: int,
        kind: str,
        random: np.random.Generator,
        looked: List[Looked],
        source: List[int],
    ) -> bool:
        mates = np.flatnonzero(self.fold == self.fold[number])
        other = self.good.images[int(random.choice(mates))]
        for _ in range(6):
            image, mask = make_defect(
                self.good.images[number], other, self.good.insides[number], random, kind
            )
            if mask.any():
                if random.random() < 0.3:
                    image = relight(image, random)
                looked.append(self.look(image, mask))
                source.append(number)
                return True
        return False

    def teach(self, bad: Parts, masks: Sequence[Optional[np.ndarray]]) -> None:
        """Learn from these defective parts instead of those known so far.

        Each is laid into one of the folds, and its defect is moved onto good parts as well.
        """
        self.bad, self.masks = bad, list(masks)
        random = np.random.default_rng((self.seed, 1))
        self.bad_fold = _folds(len(bad.images), random)
        self.looked_bad = [self.look(i, m) for i, m in zip(bad.images, self.masks)]
        self.moved: List[Looked] = []
        self.moved_from: List[Tuple[int, int]] = []
        known = [i for i, m in enumerate(self.masks) if m is not None]
        for number in known:
            for _ in range(int(np.clip(self.made // 3 // len(known), 1, 12))):
                at = int(random.integers(len(self.good.images)))
                mask = self.masks[number]
                assert mask is not None
                image, place = move_defect(
                    self.good.images[at], self.good.insides[at], bad.images[number], mask, random
                )
                if place.any():
                    self.moved.append(self.look(image, place))
                    self.moved_from.append((at, number))

    def look(self, image: np.ndarray, mask: Optional[np.ndarray] = None) -> Looked:
        """A picture laid into the input as it is learnt from, with its defect `(h, w)` bool."""
        values, valid = (o[0] for o in self._session.run(None, {"image": image[None]}))
        if mask is not None:
            h, w = valid.shape[1:]
            mask = mask.reshape(h, STRIDE, w, STRIDE).max(axis=(1, 3))
        return Looked(values.astype(np.float16), valid[0] > 0, mask)

    def learn(self, name: str, without: Sequence[int] = ()) -> Method:
        """A method that has not seen the parts of some folds."""
        random = np.random.default_rng((self.seed, *without))
        good = [g for g, fold in zip(self.looked, self.fold) if fold not in without]
        if name == Statistics.name:
            return Statistics.learn(good, random, self.still)
        fakes = [f for f, at in zip(self.fakes, self.fake_of) if self.fold[at] not in without]
        known = [
            b
            for b, fold in zip(self.looked_bad, self.bad_fold)
            if fold not in without and b.defect is not None
        ]
        moved = [
            m
            for m, (at, number) in zip(self.moved, self.moved_from)
            if self.fold[at] not in without and self.bad_fold[number] not in without
        ]
        if known:
            # Together the known ones count as much as all that were made up.
            share = len(fakes) / (2.0 * len(known)), len(fakes) / (2.0 * max(len(moved), 1))
            fakes = fakes + [k._replace(weight=share[0]) for k in known]
            fakes += [m._replace(weight=share[1]) for m in moved]
        if name == Discriminator.name:
            return Discriminator.learn(good, fakes, random, self.steps, self.still)
        from .network import Network

        share = JUDGED if without else 1 - 2 * JUDGED
        return Network.learn(good, fakes, self.seed, 0.8 * share * self.minutes)

    def judge(
        self,
        name: str,
        told: Optional[Callable[[float], None]] = None,
        seen: Optional[Callable[[Method, Sequence[int]], None]] = None,
    ) -> Held:
        """What the method says of each picture when its fold was left out.

        Args:
            name: Of the method.
            told: Called with the share that is done.
            seen: Called with each method and the folds that it has not seen.
        """
        shape = self.looked[0].valid.shape
        held = Held(
            np.zeros((len(self.looked), *shape), np.float32),
            np.zeros((len(self.trials), *shape), np.float32),
            np.zeros((len(self.looked_bad), *shape), np.float32),
        )
        single = [(fold,) for fold in range(FOLDS)]
        # A network takes minutes: two halves instead of four quarters.
        halves = [tuple(range(FOLDS // 2)), tuple(range(FOLDS // 2, FOLDS))]
        rounds = halves if name == "network" else single
        for turn, folds in enumerate(rounds):
            if told is not None:
                told(turn / len(rounds))
            method = self.learn(name, folds)
            if seen is not None:
                seen(method, folds)
            groups = (
                (held.good, self.looked, self.fold),
                (held.fake, self.trials, self.fold[self.trial_of]),
                (held.bad, self.looked_bad, self.bad_fold),
            )
            for out, looked, fold in groups:
                for number in np.flatnonzero(np.isin(fold, folds)):
                    look = looked[number]
                    out[number] = np.where(look.valid, method.heat(look), LOW)
        return held


def _folds(count: int, random: np.random.Generator) -> np.ndarray:
    """A fold for each of some pictures, as evenly as it goes."""
    return random.permutation(np.arange(count) % FOLDS)


class Outcome(NamedTuple):
    """A candidate as it was judged.

    Attributes:
        name: Of the candidate.
        held: What it says.
        top: Places the score is a mean of.
        figure: What candidates are compared by.
        report: The same for people.
    """

    name: str
    held: Held
    top: int
    figure: float
    report: Dict[str, Any]


def compare(name: str, held: Held, kinds: Sequence[str], started: float, seed: int) -> Outcome:
    """The best number of places, and how well good and bad are told apart then.

    Known defects count as much as twenty of them do against the made-up ones.
    """
    best: Optional[Outcome] = None
    for top in TOPS:
        good = top_means(held.good, top)
        fake = top_means(held.fake, top)
        bad = top_means(held.bad, top)
        figure = auroc(fake, good)
        report: Dict[str, Any] = {"name": name, "top": top, "auroc_made_up": figure}
        if len(bad):
            share = len(bad) / (len(bad) + 20)
            report["auroc_known"] = auroc(bad, good)
            figure = (1 - share) * figure + share * report["auroc_known"]
        if best is None or figure > best.figure:
            report["auroc"] = report.get("auroc_known", report["auroc_made_up"])
            best = Outcome(name, held, top, figure, report)
    assert best is not None
    good = top_means(held.good, best.top)
    judged = held.bad if len(held.bad) else held.fake
    interval = auroc_interval(top_means(judged, best.top), good, seed)
    fake = top_means(held.fake, best.top)
    best.report["auroc_interval"] = list(interval)
    best.report["figure"] = best.figure
    best.report["by_kind"] = {
        kind: auroc(fake[np.array(kinds) == kind], good) for kind in sorted(set(kinds))
    }
    best.report["seconds"] = round(time.monotonic() - started, 1)
    return best


def coloured(parts: Parts) -> bool:
    """Whether the channels of these pictures tell more than brightness."""
    cv2 = load_cv2()
    for image in parts.images:
        low = cv2.resize(image, (64, 64), interpolation=cv2.INTER_AREA).astype(np.int16)
        if float(np.mean((low.max(axis=2) - low.min(axis=2)) > 8)) > 0.02:
            return True
    return False
