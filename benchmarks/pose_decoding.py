"""How fast poses are read from a net's outputs: twenty people at once, on one thread.

python -m edgelane.benchmarks.pose_decoding
"""

import argparse
import json
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np

from ..runtime.pose import OPENPOSE_18, REFINEMENTS, Skeleton, decode_heatmaps
from ..runtime.pose.families import decode_simcc
from ..runtime.pose.paf import assemble
from .timing import median_ms


def render(
    bodies: np.ndarray,
    skeleton: Skeleton,
    size: Tuple[int, int],
    sigma: float = 1.5,
    width: float = 1.0,
) -> Tuple[np.ndarray, np.ndarray]:
    """What a net of part affinity fields would give for people at known places.

    Args:
        bodies: `(n, k, 2)` points in cells; NaN for points that are not there.
        skeleton: Its edges are the limbs.
        size: `(width, height)` in cells.
        sigma: Standard deviation of the peaks in cells.
        width: How far from a limb its field reaches.

    Returns:
        `(k + 1, h, w)` heatmaps with the background last, and `(2 l, h, w)` fields, averaged
        where several people's meet.
    """
    x, y = np.arange(size[0]), np.arange(size[1])[:, None]
    maps = np.zeros((len(skeleton) + 1, size[1], size[0]), np.float32)
    for body in bodies:
        for part, (a, b) in enumerate(body):
            if np.isfinite(a):
                peak = np.exp(-((x - a) ** 2 + (y - b) ** 2) / (2 * sigma**2))
                np.maximum(maps[part], peak, out=maps[part])
    maps[-1] = 1 - maps[:-1].max(axis=0)
    fields = np.zeros((len(skeleton.edges), 2, size[1], size[0]), np.float32)
    count = np.zeros((len(skeleton.edges), size[1], size[0]))
    for body in bodies:
        for limb, (first, second) in enumerate(skeleton.edges):
            a, b = body[first], body[second]
            if not np.isfinite([a, b]).all():
                continue
            length = np.hypot(*(b - a))
            way = (b - a) / length
            along = (x - a[0]) * way[0] + (y - a[1]) * way[1]
            across = np.abs((x - a[0]) * way[1] - (y - a[1]) * way[0])
            on = (along >= -width) & (along <= length + width) & (across <= width)
            fields[limb, :, on] += way
            count[limb] += on
    fields /= np.maximum(count, 1)[:, None]
    return maps, fields.reshape(-1, size[1], size[0])


STANDING = np.array(
    [
        [0, 0], [0, 3], [-3, 3], [-4, 7], [-4.5, 11], [3, 3], [4, 7], [4.5, 11], [-2, 12],
        [-2, 18], [-2, 24], [2, 12], [2, 18], [2, 24], [-0.8, -1], [0.8, -1], [-1.8, -0.5],
        [1.8, -0.5],
    ]
)  # fmt: skip
"""A body in cells of a map, points of OpenPose; the nose at 0, 0."""


def crowd(rows: int = 2, columns: int = 10, seed: int = 0) -> np.ndarray:
    """`(n, 18, 2)` people side by side in a map of 128 by 72 cells, each a little different."""
    random = np.random.default_rng(seed)
    bodies = []
    for row in range(rows):
        for column in range(columns):
            place = np.array([8 + 12.3 * column, 5 + 34 * row])
            scale = random.uniform(0.85, 1.1)
            bodies.append(place + STANDING * scale + random.uniform(-0.3, 0.3, (18, 2)))
    return np.array(bodies)


def gaussians(places: np.ndarray, size: Tuple[int, int]) -> np.ndarray:
    """`(n, k, h, w)` float32 maps with a peak at each of `(n, k, 2)` places in cells; its standard
    deviation is a 24th of the width."""
    x, y = np.arange(size[0]), np.arange(size[1])[:, None]
    a, b = places[..., 0, None, None], places[..., 1, None, None]
    return np.exp(-((x - a) ** 2 + (y - b) ** 2) / (2 * (size[0] / 24) ** 2)).astype(np.float32)


def measure(people: int = 20, noise: float = 0.03, seconds: float = 0.5) -> List[Dict[str, Any]]:
    """Median milliseconds of each decoder for so many people, and how far off it is.

    Args:
        people: How many; part affinity fields have up to 20.
        noise: Standard deviation of what is added to maps and fields.
        seconds: How long each is repeated.

    Returns:
        Rows of `decoder`, `ms` and `off`, the mean distance to the truth in cells or bins.
    """
    random = np.random.default_rng(0)
    rows = []
    for size in ((48, 64), (24, 32)):
        places = random.uniform([4, 4], [size[0] - 5, size[1] - 5], (people, 17, 2))
        maps = gaussians(places, size)
        maps += random.normal(0, noise, maps.shape).astype(np.float32)
        for refine in REFINEMENTS:
            found, _ = decode_heatmaps(maps, refine)
            rows.append(
                {
                    "decoder": f"heatmap {size[0]}x{size[1]} {refine}",
                    "ms": median_ms(lambda m=maps, r=refine: decode_heatmaps(m, r), seconds),
                    "off": float(np.hypot(*np.moveaxis(found - places, -1, 0)).mean()),
                }
            )
    places = random.uniform(8, [376, 504], (people, 17, 2))
    vectors = []
    for axis, bins in enumerate((384, 512)):
        off = np.arange(bins) - places[..., axis, None]
        vectors.append(np.exp(-0.5 * (off / 6) ** 2).astype(np.float32))
    found = decode_simcc(vectors[0], vectors[1], 1.0).place
    rows.append(
        {
            "decoder": "simcc 384+512",
            "ms": median_ms(lambda: decode_simcc(vectors[0], vectors[1], 2.0), seconds),
            "off": float(np.hypot(*np.moveaxis(found - places, -1, 0)).mean()),
        }
    )
    bodies = crowd()[:people]
    maps, fields = render(bodies, OPENPOSE_18, (128, 72))
    maps += random.normal(0, noise, maps.shape).astype(np.float32)
    fields += random.normal(0, noise, fields.shape).astype(np.float32)
    found = assemble(maps, fields, OPENPOSE_18)
    distance = np.hypot(*np.moveaxis(found[:, None, :, :2] - bodies[None], -1, 0)).mean(axis=2)
    rows.append(
        {
            "decoder": f"paf 128x72, {len(found)} people found",
            "ms": median_ms(lambda: assemble(maps, fields, OPENPOSE_18), seconds),
            "off": float(distance.min(axis=0).mean()),
        }
    )
    return rows


def main(arguments: Optional[Sequence[str]] = None) -> List[Dict[str, Any]]:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m edgelane.benchmarks.pose_decoding")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    rows = measure()
    if options.json:
        print(json.dumps(rows, indent=2))
        return rows
    print("decoder of 20 people             ms (median)  off by")
    for row in rows:
        print(f"{row['decoder']:<32} {row['ms']:11.3f}  {row['off']:6.3f}")
    return rows


if __name__ == "__main__":
    main()
