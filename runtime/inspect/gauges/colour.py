"""Colours as people see them: CIE Lab, differences by CIEDE2000, light set right by a grey card.

sRGB after IEC 61966-2-1, Lab after CIE 15 with the D65 white of the 2 degree observer; CIEDE2000
after Sharma, Wu and Dalal, "The CIEDE2000 color-difference formula" (2005).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ....core import DataError

WHITE = np.array([0.95047, 1.0, 1.08883])
_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375],
     [0.2126729, 0.7151522, 0.0721750],
     [0.0193339, 0.1191920, 0.9503041]]
)  # fmt: skip


def linear(bgr: Any) -> np.ndarray:
    """Linear light `(..., 3)` float64 0..1, red first, of sRGB values 0..255, blue first."""
    value = np.asarray(bgr, np.float64)[..., ::-1] / 255.0
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def lab_of_linear(rgb: np.ndarray) -> np.ndarray:
    """CIE Lab `(..., 3)` float64 of linear light, red first."""
    ratio = rgb @ _TO_XYZ.T / WHITE
    bend = 6 / 29
    f = np.where(ratio > bend**3, np.cbrt(ratio), ratio / (3 * bend**2) + 4 / 29)
    x, y, z = f[..., 0], f[..., 1], f[..., 2]
    return np.stack((116 * y - 16, 500 * (x - y), 200 * (y - z)), axis=-1)


def lab(bgr: Any) -> np.ndarray:
    """CIE Lab `(..., 3)` float64 of sRGB pixels `(..., 3)`, 0..255, blue first."""
    return lab_of_linear(linear(bgr))


def ciede2000(one: Any, two: Any, kl: float = 1.0, kc: float = 1.0, kh: float = 1.0) -> np.ndarray:
    """Difference of two colours as seen; 1 is about what is just noticed.

    Args:
        one: `(..., 3)` CIE Lab.
        two: The same shape, or one that broadcasts.
        kl: Weight of lightness; 2 for textiles.
        kc: Weight of chroma.
        kh: Weight of hue.

    Returns:
        `(...)` float64.
    """
    l1, a1, b1 = np.moveaxis(np.asarray(one, np.float64), -1, 0)
    l2, a2, b2 = np.moveaxis(np.asarray(two, np.float64), -1, 0)
    mean = (np.hypot(a1, b1) + np.hypot(a2, b2)) / 2
    grey = 0.5 * (1 - np.sqrt(mean**7 / (mean**7 + 25.0**7)))
    a1, a2 = (1 + grey) * a1, (1 + grey) * a2
    c1, c2 = np.hypot(a1, b1), np.hypot(a2, b2)
    h1, h2 = np.degrees(np.arctan2(b1, a1)) % 360, np.degrees(np.arctan2(b2, a2)) % 360
    coloured = c1 * c2 != 0
    turn = h2 - h1
    half = 180 + 1e-9  # opposite hues stay opposite whatever the last bit says
    turn = np.where(turn > half, turn - 360, np.where(turn < -half, turn + 360, turn)) * coloured
    dl, dc = l2 - l1, c2 - c1
    dh = 2 * np.sqrt(c1 * c2) * np.sin(np.radians(turn) / 2)
    total = h1 + h2
    near = np.abs(h1 - h2) <= half
    hue = np.where(near, total, np.where(total < 360, total + 360, total - 360)) / 2
    hue = np.where(coloured, hue, total)
    lightness, chroma = (l1 + l2) / 2, (c1 + c2) / 2

    def cos(degrees: np.ndarray) -> np.ndarray:
        return np.cos(np.radians(degrees))

    t = (1 - 0.17 * cos(hue - 30) + 0.24 * cos(2 * hue) + 0.32 * cos(3 * hue + 6)
         - 0.20 * cos(4 * hue - 63))  # fmt: skip
    rotation = np.sin(np.radians(60 * np.exp(-(((hue - 275) / 25) ** 2))))
    rotation = -2 * np.sqrt(chroma**7 / (chroma**7 + 25.0**7)) * rotation
    square = (lightness - 50) ** 2
    sl = kl * (1 + 0.015 * square / np.sqrt(20 + square))
    sc = kc * (1 + 0.045 * chroma)
    sh = kh * (1 + 0.015 * chroma * t)
    dl, dc, dh = dl / sl, dc / sc, dh / sh
    return np.sqrt(np.maximum(dl**2 + dc**2 + dh**2 + rotation * dc * dh, 0))


@dataclass(frozen=True)
class GreyCard:
    """What makes a card of known grey look that grey.

    Attributes:
        gain: `(3,)` float64, of linear light, red first.
    """

    gain: np.ndarray

    @classmethod
    def seen(cls, patch: Any, reflectance: float = 0.18) -> "GreyCard":
        """From the pixels of a grey card.

        Args:
            patch: `(..., 3)` uint8 BGR pixels of the card alone.
            reflectance: Share of the light that the card gives back.

        Raises:
            DataError: The card is clipped, too dark, or not one even patch.
        """
        pixels = np.asarray(patch).reshape(-1, 3)
        if not len(pixels):
            raise DataError("the patch of the grey card holds no pixels")
        clipped = float(np.mean((pixels >= 254).any(axis=1)))
        if clipped > 0.01:
            raise DataError(
                "the grey card is overexposed",
                got=f"{100 * clipped:.0f} % of its pixels at the top",
                remedy="lower the exposure and take it again",
            )
        light = linear(pixels)
        level = np.median(light, axis=0)
        if (level < 0.004).any():
            raise DataError("the grey card is underexposed", remedy="raise the exposure")
        spread = 1.4826 * np.median(np.abs(light - level), axis=0) / level
        if (spread > 0.25).any():
            raise DataError(
                "the patch is not one even grey card",
                got=f"a spread of {100 * float(spread.max()):.0f} %",
                remedy="give the pixels of the card alone, without shadow or glare",
            )
        return cls(reflectance / level)

    def lab(self, bgr: Any) -> np.ndarray:
        """CIE Lab `(..., 3)` of pixels `(..., 3)`, as under the light in which the card is grey."""
        return lab_of_linear(linear(bgr) * self.gain)


def colour_of(pixels: Any, card: Any = None) -> np.ndarray:
    """The CIE Lab `(3,)` of a patch: the median, which specks and glare do not move.

    Args:
        pixels: `(..., 3)` uint8 BGR.
        card: A `GreyCard`, or None for colours as the camera gives them.
    """
    flat = np.asarray(pixels).reshape(-1, 3)
    if not len(flat):
        raise DataError("a patch without pixels has no colour")
    return np.median(lab(flat) if card is None else card.lab(flat), axis=0)


@dataclass(frozen=True)
class ColourChecker:
    """What makes the patches of a colour checker look as they are: a 3 x 3 matrix.

    Attributes:
        matrix: `(3, 3)` float64: linear light of the camera, red first, to true linear light.
        error: `(n,)` CIEDE2000 of each patch after the correction.
    """

    matrix: np.ndarray
    error: np.ndarray

    @classmethod
    def seen(cls, patches: Any, true: Any) -> "ColourChecker":
        """From patches of known colour.

        Args:
            patches: A list of `(..., 3)` uint8 BGR pixels, one for each patch.
            true: `(n, 3)` CIE Lab of the patches.

        Raises:
            DataError: Fewer than six patches, one is clipped, or no matrix explains them.
        """
        wanted = linear_of_lab(np.asarray(true, np.float64).reshape(-1, 3))
        seen = []
        for number, patch in enumerate(patches, 1):
            pixels = np.asarray(patch).reshape(-1, 3)
            if not len(pixels):
                raise DataError(f"patch {number} of the colour checker holds no pixels")
            if float(np.mean((pixels >= 254).any(axis=1))) > 0.05:
                raise DataError(
                    f"patch {number} of the colour checker is overexposed",
                    remedy="lower the exposure and take it again",
                )
            seen.append(np.median(linear(pixels), axis=0))
        if len(seen) < 6 or len(seen) != len(wanted):
            raise DataError("a colour checker needs at least six patches with their colours")
        light = np.array(seen)
        # Dark patches count as much as light ones, as they do for the eye.
        weight = 1 / np.maximum(wanted.mean(axis=1, keepdims=True), 0.02)
        matrix = np.linalg.lstsq(light * weight, wanted * weight, rcond=None)[0].T
        found = lab_of_linear(light @ matrix.T)
        error = ciede2000(found, np.asarray(true, np.float64).reshape(-1, 3))
        if not np.isfinite(matrix).all() or float(np.median(error)) > 8:
            raise DataError(
                "the patches of the colour checker are not those that were given",
                got=f"CIEDE2000 of {float(np.median(error)):.1f} after the correction",
                remedy="check their order and places",
            )
        return cls(matrix, error)

    def lab(self, bgr: Any) -> np.ndarray:
        """CIE Lab `(..., 3)` of pixels `(..., 3)`, set right by the checker."""
        return lab_of_linear(linear(bgr) @ self.matrix.T)


def linear_of_lab(values: Any) -> np.ndarray:
    """Linear light, red first, of CIE Lab `(..., 3)`; the inverse of `lab_of_linear`."""
    values = np.asarray(values, np.float64)
    y = (values[..., 0] + 16) / 116
    f = np.stack((y + values[..., 1] / 500, y, y - values[..., 2] / 200), axis=-1)
    bend = 6 / 29
    xyz = np.where(f > bend, f**3, 3 * bend**2 * (f - 4 / 29)) * WHITE
    return xyz @ np.linalg.inv(_TO_XYZ).T


def card_of(image: np.ndarray, settings: Any) -> Any:
    """What sets the colours of a picture right: a checker, a grey card, or None without either.

    Args:
        image: `(h, w, 3)` uint8 BGR.
        settings: `GaugeSettings`, which say where they lie.

    Raises:
        DataError: It lies outside the picture, is clipped, or is not what it should be.
    """

    def cut(box: Any) -> np.ndarray:
        x1, y1, x2, y2 = (int(round(v)) for v in box)
        if x1 < 0 or y1 < 0 or x2 > image.shape[1] or y2 > image.shape[0] or x1 >= x2 or y1 >= y2:
            raise DataError("the card lies outside the picture", got=str(list(box)))
        return image[y1:y2, x1:x2]

    if settings.patches:
        return ColourChecker.seen([cut(box) for box in settings.patches], settings.lab)
    if settings.grey is not None:
        return GreyCard.seen(cut(settings.grey), settings.reflectance)
    return None
