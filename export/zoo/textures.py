"""Backgrounds that no store has: noise, gradients, stripes, clutter, grounds with a horizon."""

from typing import Any, List

import numpy as np


def background(cv2: Any, rng: np.random.RandomState, width: int, height: int) -> np.ndarray:
    """A random background, `(height, width, 3)` uint8."""
    image = _surface(cv2, rng, width, height)
    if rng.rand() < 0.6:  # a ground and what stands behind it
        row = int(height * rng.uniform(0.1, 0.7))
        image[:row] = _surface(cv2, rng, width, height)[:row]
        if rng.rand() < 0.3:
            row = int(height * rng.uniform(0.1, 0.9))
            tilt = int(rng.uniform(-0.4, 0.4) * height)
            corners = np.array([[0, row], [width, row + tilt], [width, height], [0, height]])
            mask = np.zeros((height, width), np.uint8)
            cv2.fillPoly(mask, [corners.astype(np.int32)], 255)
            cv2.copyTo(_surface(cv2, rng, width, height), mask, image)
    for _ in range(int(rng.choice([0, 2, 6, 15, 30]))):
        _thing(cv2, rng, image)
    return image


def _colour(rng: np.random.RandomState) -> np.ndarray:
    tone = rng.uniform(10, 245)
    spread = rng.choice([8, 25, 80])
    return np.clip(tone + rng.uniform(-spread, spread, 3), 0, 255)


def _surface(cv2: Any, rng: np.random.RandomState, width: int, height: int) -> np.ndarray:
    """Soft or fine noise between two colours, sometimes with stripes or tiles."""
    share = np.zeros((height, width), np.float32)
    for cell in rng.choice([2, 4, 8, 16, 32, 64, 128], rng.randint(1, 4), replace=False):
        shape = (max(height // cell, 2), max(width // cell, 2))
        grid = rng.rand(*shape).astype(np.float32)
        share += cv2.resize(grid, (width, height), interpolation=cv2.INTER_LINEAR)
    low, high = float(share.min()), float(share.max())
    share = (share - low) / max(high - low, 1e-3)
    kind = rng.rand()
    if kind < 0.35:
        angle, period = rng.uniform(0, np.pi), rng.uniform(4, 60)
        y, x = np.mgrid[:height, :width].astype(np.float32)
        wave = np.sin((np.cos(angle) * x + np.sin(angle) * y) * np.float32(6.2832 / period))
        if kind < 0.15:
            wave = wave * np.sin((np.cos(angle) * y - np.sin(angle) * x) * 6.2832 / period)
        if rng.rand() < 0.6:
            wave = np.sign(wave)
        share = 0.5 * share + 0.25 * (1 + wave.astype(np.float32))
    elif kind < 0.6:
        slope = np.linspace(0, 1, height, dtype=np.float32)[:, None]
        share = 0.5 * share + 0.5 * (slope if rng.rand() < 0.5 else 1 - slope)
    one, two = _colour(rng), _colour(rng)
    two = one + (two - one) * rng.choice([0.2, 0.5, 1.0])
    return (one + share[:, :, None] * (two - one)).astype(np.uint8)


def _thing(cv2: Any, rng: np.random.RandomState, image: np.ndarray) -> None:
    """A box, pole, disc, line or polygon: much that is upright and nobody."""
    height, width = image.shape[:2]
    colour = tuple(_colour(rng).tolist())
    x, y = rng.randint(0, width), rng.randint(0, height)
    size = float(np.exp(rng.uniform(np.log(4), np.log(110))))
    kind = rng.randint(5)
    if kind == 0:
        ratio = np.exp(rng.uniform(-1.2, 1.2))
        other = (int(x + size * ratio), int(y + size / ratio))
        cv2.rectangle(image, (x, y), other, colour, -1)
        if rng.rand() < 0.5:
            cv2.rectangle(image, (x, y), other, tuple(_colour(rng).tolist()), rng.randint(1, 4))
    elif kind == 1:
        wide = rng.randint(1, 9)
        cv2.rectangle(image, (x, y), (x + wide, int(y + size * 2)), colour, -1)
    elif kind == 2:
        axes = (int(size / 2), int(size / 2 * rng.uniform(0.3, 2)))
        cv2.ellipse(image, (x, y), axes, rng.uniform(0, 180), 0, 360, colour, -1, cv2.LINE_AA)
    elif kind == 3:
        end = (int(x + rng.uniform(-2, 2) * size), int(y + rng.uniform(-2, 2) * size))
        cv2.line(image, (x, y), end, colour, rng.randint(1, 6), cv2.LINE_AA)
    else:
        points = np.array([x, y]) + rng.uniform(-1, 1, (rng.randint(3, 7), 2)) * size * 0.6
        cv2.fillPoly(image, [points.astype(np.int32)], colour, cv2.LINE_AA)


def occluder(cv2: Any, rng: np.random.RandomState, width: int, height: int) -> np.ndarray:
    """Something to stand before people, `(height, width, 3)` uint8."""
    image = _surface(cv2, rng, width, height)
    for _ in range(rng.randint(0, 4)):
        _thing(cv2, rng, image)
    return image


def weather(cv2: Any, rng: np.random.RandomState, image: np.ndarray) -> np.ndarray:
    """What light and camera do: colours, contrast, blur, noise, compression. Same shape."""
    level = np.arange(256, dtype=np.float32)[:, None] / 255
    gamma = np.exp(rng.uniform(-0.5, 0.5))
    curve = level**gamma * np.exp(rng.uniform(-0.35, 0.25, 1))
    curve = (curve - 0.5) * rng.uniform(0.6, 1.25) + 0.5 + rng.uniform(-0.08, 0.08)
    curve = curve * np.exp(rng.uniform(-1, 1, 3) * rng.choice([0.04, 0.15]))
    table = np.clip(curve * 255, 0, 255).astype(np.uint8).reshape(1, 256, 3)
    image = cv2.LUT(image, table)
    if rng.rand() < 0.6:
        hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)
        shift = int(rng.uniform(-12, 12) if rng.rand() < 0.6 else rng.uniform(-90, 90))
        hue = ((np.arange(256) + shift) % 180).astype(np.uint8)
        saturation = np.clip(np.arange(256) * rng.uniform(0.2, 1.6), 0, 255).astype(np.uint8)
        same = np.arange(256, dtype=np.uint8)
        both = np.stack((hue, saturation, same), 1).reshape(1, 256, 3)
        image = cv2.cvtColor(cv2.LUT(hsv, both), cv2.COLOR_HSV2BGR)
    elif rng.rand() < 0.1:
        image = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    steps: List[float] = rng.rand(4).tolist()
    if steps[0] < 0.2:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.4))
    elif steps[0] < 0.3:
        high, wide = image.shape[:2]
        share = rng.uniform(0.45, 0.9)
        small = cv2.resize(image, (int(wide * share), int(high * share)))
        image = cv2.resize(small, (wide, high))
    elif steps[0] < 0.45:
        soft = cv2.GaussianBlur(image, (0, 0), 1.2)
        amount = rng.uniform(0.3, 1.2)
        image = cv2.addWeighted(image, 1 + amount, soft, -amount, 0)
    if steps[1] < 0.35:
        noise = rng.randint(0, 256, (image.shape[0] // 2, image.shape[1] // 2 + 8)).astype(np.int8)
        spread = rng.uniform(0.01, 0.1)
        noise = cv2.resize(noise.astype(np.float32) * spread, image.shape[1::-1])
        image = np.clip(image + noise[:, :, None], 0, 255).astype(np.uint8)
    if steps[2] < 0.5:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.uniform(25, 95))]
        image = cv2.imdecode(cv2.imencode(".jpg", image, quality)[1], cv2.IMREAD_COLOR)
    return image
