"""What is looked at in every place of a part: a fixed bank of filters over several scales.

Light is divided out first, and contrast is told in units of the picture's own, so that exposure
and shading tell little. No weights are learnt here.
"""

from typing import List, NamedTuple

import numpy as np

from .tape import Ref, Tape

STRIDE = 4
"""Input pixels a place, along each axis."""

LEVELS = 4
PAD = 114
"""Grey of the padding around a picture that is not stretched."""


class Features(NamedTuple):
    """Steps of a tape.

    Attributes:
        values: `(c, h / 4, w / 4)`.
        valid: `(1, h / 4, w / 4)`, 1 where the picture is and 0 in padding.
        count: c.
    """

    values: Ref
    valid: Ref
    count: int


def kernels() -> np.ndarray:
    """`(7, 7, 7)`: centre against surround, ridges in four directions, two slopes."""
    y, x = np.mgrid[-3:4, -3:4].astype(np.float64)
    square = x * x + y * y

    def gauss(sigma: float) -> np.ndarray:
        g = np.exp(-square / (2 * sigma * sigma))
        return g / g.sum()

    bank = [gauss(0.8) - gauss(2.0)]
    for angle in np.arange(4) * np.pi / 4:
        across = x * np.cos(angle) + y * np.sin(angle)
        along = -x * np.sin(angle) + y * np.cos(angle)
        ridge = (1 - across**2) * np.exp(-(across**2) / 2 - along**2 / (2 * 2.0**2))
        weight = np.exp(-square / (2 * 2.0**2))
        ridge -= weight * ridge.sum() / weight.sum()
        bank.append(ridge)
    for across in (x, y):
        bank.append(across * gauss(1.2))
    return np.stack([k / np.abs(k).sum() * 2 for k in bank]).astype(np.float32)


def valid_pixels(tape: Tape, padded: bool) -> Ref:
    """`(1, h, w)`, 0 in padding: blocks of exactly its grey, as no camera gives them."""
    grey = tape.over_channels(0, "max")
    if not padded:
        return tape.affine(grey, 0.0, 1.0)
    apart = tape.over_channels(tape.abs(tape.affine(0, 1.0, -float(PAD))), "max")
    picture = tape.clip(apart, 0.0, 1.0)
    # A block of padding has no picture near; whatever touches such a block is padding as well.
    clear = tape.affine(tape.widest(picture, 7), -1.0, 1.0)
    return tape.affine(tape.widest(clear, 7), -1.0, 1.0)


def flatten(tape: Tape, channel: Ref, valid: Ref) -> List[Ref]:
    """Local contrast of a channel in two units, and light: each `(1, h, w)`.

    The first is in units of the picture's mean contrast, the second of the light itself.
    """
    inside = tape.mul(channel, valid)
    sums, counts = tape.pool(inside, 8, "mean"), tape.pool(valid, 8, "mean")
    for _ in range(2):
        sums, counts = tape.smooth(sums, 5), tape.smooth(counts, 5)
    light = tape.enlarge(tape.div(sums, tape.clip(counts, 1e-3, 2.0)), 8)
    ratio = tape.div(tape.affine(channel, 1.0, 4.0), tape.affine(light, 1.0, 4.0))
    contrast = tape.mul(tape.affine(ratio, 1.0, -1.0), valid)
    area = tape.clip(tape.total(valid), 1.0, 1e9)
    unit = tape.clip(tape.div(tape.total(tape.abs(contrast)), area), 0.01, 1e9)
    mean = tape.affine(tape.div(tape.total(inside), area), 1.0, 4.0)
    shade = tape.mul(tape.log(tape.div(tape.affine(light, 1.0, 4.0), mean)), valid)
    return [tape.clip(tape.div(contrast, unit), -12.0, 12.0), contrast, shade]


def build_features(tape: Tape, padded: bool, coloured: bool) -> Features:
    """Add the bank to a tape.

    Args:
        tape: Its size must divide by 32.
        padded: Pictures may lie in padding.
        coloured: Colour tells something; otherwise brightness alone is looked at.
    """
    pixel = valid_pixels(tape, padded)
    valid = tape.pool(pixel, STRIDE, "max")
    grey = tape.mix(0, np.array([[0.114, 0.587, 0.299]]))
    relative, contrast, shade = flatten(tape, grey, pixel)
    level, found = relative, []
    for number in range(LEVELS):
        step = max(STRIDE >> number, 1)
        grow = max((1 << number) // STRIDE, 1)
        answers = tape.bank(level, kernels())
        both = [tape.relu(answers), tape.relu(tape.affine(answers, -1.0))]
        for rectified in both:
            most = tape.enlarge(tape.pool(rectified, step, "max"), grow)
            found.append(tape.log(tape.affine(most, 2.0, 1.0)))
        energy = tape.enlarge(tape.pool(tape.abs(answers), step, "mean"), grow)
        for wide in (5, 13):
            found.append(tape.log(tape.affine(tape.smooth(energy, wide), 4.0, 1.0)))
        if number + 1 < LEVELS:
            level = tape.halve(level)
    count = LEVELS * 4 * 7
    coarse = tape.pool(contrast, STRIDE, "mean")
    found.append(tape.affine(coarse, 4.0))
    found.append(tape.affine(tape.pool(shade, STRIDE, "mean"), 2.0))
    found.append(tape.smooth(valid, 5))
    found.append(tape.smooth(valid, 17))
    count += 4
    if coloured:
        colour = tape.mix(0, np.array([[0.5, -0.5, 0.0], [-0.25, -0.25, 0.5]]))
        light = tape.affine(tape.pool(grey, STRIDE, "mean"), 1.0, 8.0)
        tint = tape.div(tape.pool(colour, STRIDE, "mean"), light)
        found.append(tape.affine(tint, 4.0))
        found.append(tape.affine(tape.sub(tint, tape.smooth(tint, 9)), 8.0))
        count += 4
    return Features(tape.concat(found), valid, count)


def against_mean(tape: Tape, features: Features) -> Ref:
    """Features, and the same against the picture's own mean: `(2 c, h / 4, w / 4)`."""
    values, valid = features.values, features.valid
    area = tape.clip(tape.total(valid), 1.0, 1e9)
    mean = tape.div(tape.total(tape.mul(values, valid)), area)
    return tape.concat([values, tape.sub(values, mean)])
