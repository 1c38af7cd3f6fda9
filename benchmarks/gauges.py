"""Gauges against known sizes: rendered parts through a lens that distorts, and `synth://bench`.

python -m edgelane.benchmarks.gauges [--seed N] [--parts N]

Errors are in pixels (angles in degrees) at the part's place; `covered` is the share of cases whose
stated uncertainty holds the true value. The seeds are fresh ones, on which nothing was developed.
"""

import argparse
import math
import time
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np

from ..pipelines.quality import Study, gauge_study
from ..runtime.inspect.gauges.camera import Board, Camera, calibrate_camera
from ..runtime.inspect.gauges.gauging import Gauging
from ..runtime.inspect.gauges.teaching import master_gauges
from ..runtime.sources.base import load_cv2
from ..runtime.synth.bench import Bench

Inside = Callable[[np.ndarray], np.ndarray]
Row = Tuple[str, float, float]  # gauge, error, uncertainty

LIGHT = {
    "typical": ((0.8, 2.0, 0.0), (1.2, 4.0, 0.3)),
    "hard": ((2.0, 8.0, 0.5),),
}  # blur in pixels, noise in grey levels, share of the light that is missing at one side
SIZE, TIMES = (480, 360), 3


def draw_camera(random: np.random.RandomState) -> Camera:
    """A camera 110 mm or so above its plane, tilted by up to eight degrees, with a real lens."""
    focal = random.uniform(780, 860)
    middle = SIZE[0] / 2 + random.uniform(-5, 5), SIZE[1] / 2 + random.uniform(-5, 5)
    tilt = random.uniform(0, math.radians(8))
    turn = random.uniform(0, 2 * math.pi)
    return Camera(
        SIZE,
        np.array([[focal, 0, middle[0]], [0, focal * random.uniform(0.998, 1.002), middle[1]],
                  [0, 0, 1.0]]),
        np.array([random.uniform(-0.28, 0.1), random.uniform(-0.05, 0.08),
                  *random.uniform(-8e-4, 8e-4, 2), 0.0]),
        np.array([tilt * math.cos(turn), tilt * math.sin(turn), random.uniform(-0.1, 0.1)]),
        np.array([-30.0, -22.0, random.uniform(108, 118)]),
    )  # fmt: skip


def render(
    camera: Camera,
    inside: Inside,
    light: Tuple[float, float, float],
    random: np.random.RandomState,
    thickness: float = 0.0,
    wall: float = 0.0,
) -> np.ndarray:
    """A part with upright walls as a camera sees it, `(h, w, 3)` uint8.

    Args:
        camera: Above the plane on which the part lies.
        inside: Whether millimetres `(n, 2)` lie within the part.
        light: Blur, noise and missing light; see `LIGHT`.
        random: Noise, and whether the part is darker than the ground.
        thickness: Millimetres.
        wall: 0 for walls as dark as the ground, 1 for walls as light as the face.
    """
    cv2 = load_cv2()
    blur, noise, shade = light
    width, height = camera.size
    y, x = np.mgrid[0 : height * TIMES, 0 : width * TIMES]
    jitter = random.uniform(0, 1, (2, x.size))
    pixels = (np.stack((x.ravel(), y.ravel())) + jitter).T / TIMES - 0.5
    face, ground = (60.0, 200.0) if random.uniform() < 0.5 else (170.0, 40.0)
    top = camera.to_mm(pixels, thickness)
    grey = np.where(inside(top), face, ground)
    if thickness:
        foot = camera.to_mm(pixels, 0.0)
        side = np.zeros(len(pixels), bool)
        for share in np.linspace(0, 1, 16)[:-1]:
            side |= inside(foot + share * (top - foot))
        grey = np.where(side & ~inside(top), ground + wall * (face - ground), grey)
    image = grey.reshape(height, TIMES, width, TIMES).mean(axis=(1, 3))
    image = cv2.GaussianBlur(image, (0, 0), blur)
    image = image * (1 - shade * np.linspace(0, 1, width))
    image = image + random.normal(0, noise, image.shape)
    return cv2.cvtColor(np.clip(np.rint(image), 0, 255).astype(np.uint8), cv2.COLOR_GRAY2BGR)


def disc(x: float, y: float, diameter: float) -> Inside:
    """Within a circle."""
    return lambda p: np.hypot(p[:, 0] - x, p[:, 1] - y) < diameter / 2


def bar(x: float, y: float, length: float, width: float, angle: float) -> Inside:
    """Within a rectangle turned by `angle` radians."""
    c, s = math.cos(angle), math.sin(angle)

    def inside(p: np.ndarray) -> np.ndarray:
        u, v = p[:, 0] - x, p[:, 1] - y
        return (np.abs(c * u + s * v) < length / 2) & (np.abs(c * v - s * u) < width / 2)

    return inside


def without(outer: Inside, *holes: Inside) -> Inside:
    """Within the first and none of the others."""
    return lambda p: outer(p) & ~np.any([hole(p) for hole in holes], axis=0)


def washer(random: np.random.RandomState) -> Tuple[Inside, Dict[str, Any], Dict[str, float], Any]:
    """A washer somewhere in view: where it is, its gauges, what they should show, its middle."""
    x, y = 29 + random.uniform(-6, 6), 23 + random.uniform(-4, 4)
    outer = random.uniform(20, 30)
    bore = outer * random.uniform(0.35, 0.6)
    gauges = {
        "diameter": {"kind": "diameter", "of": "outline"},
        "bore": {"kind": "diameter", "at": [0, 0], "nominal": bore * random.uniform(0.99, 1.01)},
    }
    inside = without(disc(x, y, outer), disc(x, y, bore))
    return inside, gauges, {"diameter": outer, "bore": bore}, (x, y)


def plate(random: np.random.RandomState) -> Tuple[Inside, Dict[str, Any], Dict[str, float], Any]:
    """A plate with two holes, however it lies; as `washer`."""
    x, y = 29 + random.uniform(-4, 4), 23 + random.uniform(-2, 2)
    angle = random.uniform(-math.pi, math.pi)
    length = random.uniform(25, 29)
    width = length * random.uniform(0.45, 0.6)
    at, size = 0.3 * length, random.uniform(4, 6)
    c, s = math.cos(angle), math.sin(angle)
    holes = [disc(x + k * at * c, y + k * at * s, size) for k in (-1, 1)]
    off = random.uniform(0.99, 1.01)
    gauges = {
        "length": {"kind": "width", "at": [0, 0], "along": 0, "nominal": length * off,
                   "length": 0.7 * width},
        "width": {"kind": "width", "at": [0, 0], "along": 90, "nominal": width * off,
                  "length": 0.7 * length},
        "hole1": {"kind": "diameter", "at": [-at, 0], "nominal": size},
        "hole2": {"kind": "diameter", "at": [at, 0], "nominal": size},
        "pitch": {"kind": "distance", "between": ["hole1", "hole2"]},
        "side": {"kind": "line", "from": [-0.4 * length, width / 2],
                 "to": [0.4 * length, width / 2]},
        "other": {"kind": "line", "from": [-0.4 * length, -width / 2],
                  "to": [0.4 * length, -width / 2]},
        "angle": {"kind": "angle", "between": ["side", "other"], "nominal": 0},
        "end": {"kind": "line", "from": [length / 2, -0.35 * width],
                "to": [length / 2, 0.35 * width]},
        "square": {"kind": "angle", "between": ["side", "end"], "nominal": 90},
        "edge": {"kind": "distance", "between": ["hole1", "side"]},
    }  # fmt: skip
    true = {"length": length, "width": width, "hole1": size, "hole2": size, "pitch": 2 * at,
            "angle": 0.0, "square": 90.0, "edge": width / 2}  # fmt: skip
    return without(bar(x, y, length, width, angle), *holes), gauges, true, (x, y)


GROUPS = {
    "diameter": "diameter", "bore": "diameter", "hole1": "diameter", "hole2": "diameter",
    "length": "width", "width": "width", "pitch": "distance", "edge": "distance",
    "angle": "angle, long sides", "square": "angle, long to short side",
}  # fmt: skip


def rendered(
    light: str, count: int, seed: int, thickness: float = 0.0, wall: float = 0.0, edge: str = ""
) -> List[Row]:
    """Errors of all gauges on parts rendered in some light."""
    rows: List[Row] = []
    for number in range(count):
        random = np.random.RandomState((seed * 1009 + number) % 2**31)
        camera = draw_camera(random)
        inside, gauges, true, (x, y) = (washer, plate)[number % 2](random)
        kind = LIGHT[light][(number // 2) % len(LIGHT[light])]
        image = render(camera, inside, kind, random, thickness, wall)
        settings = {
            "gauges": gauges, "parts": {"thickness": thickness, "edge": edge or "outline"},
        }  # fmt: skip
        rows += _rows(Gauging(settings, camera), image, camera, true, (x, y), thickness)
    return rows


def _rows(
    gauging: Gauging, image: np.ndarray, camera: Camera, true: Dict[str, float], at: Any,
    thickness: float = 0.0,
) -> List[Row]:  # fmt: skip
    pixel = camera.mm_per_pixel(camera.to_pixels([at], thickness)[0], thickness)
    parts = gauging.measure(image).parts
    rows: List[Row] = []
    for name, value in true.items():
        measure = parts[0].measures.get(name) if len(parts) == 1 else None
        scale = 1.0 if "angle" in GROUPS[name] else pixel
        if measure is None:
            rows.append((name, math.nan, math.nan))
        else:
            rows.append((name, (measure.value - value) / scale, measure.uncertainty / scale))
    return rows


def board_views(camera: Camera, random: np.random.RandomState) -> Tuple[List[np.ndarray], Board]:
    """Pictures of a chessboard by a camera, the last one in its plane."""
    board = Board("chessboard", 10, 7, 5.0)
    pictures = []
    for k in range(9):
        turn = camera.rotation + random.uniform(-0.3, 0.3, 3) * (k < 8)
        shift = camera.translation + (random.uniform(-3, 3, 3) + (0, 0, 14)) * (k < 8)
        view = Camera(camera.size, camera.matrix, camera.distortion, turn, shift)

        def white(p: np.ndarray) -> np.ndarray:
            x, y = p[:, 0] / 5.0, p[:, 1] / 5.0
            on = (x > 0) & (x < 10) & (y > 0) & (y < 7)
            return ~(on & ((np.floor(x) + np.floor(y)) % 2 == 0))

        width, height = camera.size
        y, x = np.mgrid[0 : height * TIMES, 0 : width * TIMES]
        pixels = np.stack((x.ravel(), y.ravel()), axis=1) / TIMES - 0.5 + 0.5 / TIMES
        grey = np.where(white(view.to_mm(pixels)), 215.0, 30.0)
        image = grey.reshape(height, TIMES, width, TIMES).mean(axis=(1, 3))
        image = load_cv2().GaussianBlur(image, (0, 0), 0.8) + random.normal(0, 2, image.shape)
        whole = np.clip(np.rint(image), 0, 255).astype(np.uint8)
        pictures.append(load_cv2().cvtColor(whole, load_cv2().COLOR_GRAY2BGR))
    return pictures, board


def calibrated(count: int, seed: int) -> List[Row]:
    """The same in typical light, by cameras that were calibrated from pictures of a chessboard."""
    rows: List[Row] = []
    for lens in range(max(count // 6, 1)):
        random = np.random.RandomState((seed * 2003 + lens) % 2**31)
        true_camera = draw_camera(random)
        pictures, board = board_views(true_camera, random)
        camera = calibrate_camera(pictures, board)
        for number in range(6):
            inside, gauges, true, at = (washer, plate)[number % 2](random)
            image = render(true_camera, inside, LIGHT["typical"][number // 2 % 2], random)
            rows += _rows(Gauging({"gauges": gauges}, camera), image, true_camera, true, at)
    return rows


def bench_camera(bench: Bench) -> Camera:
    """The camera of a bench, on whose belt the plane lies."""
    return Camera(
        bench.size, bench.camera_matrix, bench.distortion, np.zeros(3),
        np.array([0.0, 0.0, bench.height_mm]),
    )  # fmt: skip


def bench_gauges(bench: Bench, kind: str) -> Dict[str, Any]:
    """Gauges of a product of the bench."""
    product = bench.products[kind]
    if kind == "washer":
        return {
            "diameter": {"kind": "diameter", "of": "outline"},
            "bore": {"kind": "diameter", "at": [0, 0], "nominal": product.holes[0][2]},
            "holes": {"kind": "holes"},
        }
    (x1, _, size), (x2, _, _) = product.holes
    return {
        "length": {"kind": "width", "at": [0, 0], "along": 0, "nominal": product.length,
                   "length": 0.6 * product.width},
        "width": {"kind": "width", "at": [0, 0], "along": 90, "nominal": product.width,
                  "length": 0.7 * product.length},
        "hole1": {"kind": "diameter", "at": [x1, 0], "nominal": size},
        "hole2": {"kind": "diameter", "at": [x2, 0], "nominal": size},
        "pitch": {"kind": "distance", "between": ["hole1", "hole2"]},
        "holes": {"kind": "holes"},
    }  # fmt: skip


def _alone(bench: Bench, kind: str, most: int) -> List[Tuple[np.ndarray, Any, int]]:
    """Pictures with one whole part each, its drawing and the number of the frame.

    Of the parts that are in view with it the belt is put back.
    """
    chosen: List[Tuple[np.ndarray, Any, int]] = []
    every = max(int(bench.fps * 0.4), 1)
    drawn = {part.id: part for part in bench.parts}
    seen: Dict[int, int] = {}
    for index in range(0, bench.frames, every):
        truth = bench.truth(index)
        for k in range(len(truth)):
            part = drawn[int(truth.track_id[k])]
            away = abs(truth.xyxy[k][[0, 2]].mean() - bench.size[0] / 2)
            if truth.kind[k] == kind and truth.visibility[k] == 1 and away < bench.size[0] / 4:
                seen.setdefault(part.id, index)
    whole = list(bench.parts)
    for name, index in list(seen.items())[:most]:
        bench.parts = [drawn[name]]
        chosen.append((bench.render(index)[0].image, drawn[name], index))
        bench.parts = whole
    return chosen


def bench_rows(
    seeds: Sequence[int], masters: int, most: int, size: Tuple[int, int]
) -> Dict[str, Dict[str, List[Row]]]:
    """Errors on the bench by its belt: as they come, and after parts of known size."""
    result: Dict[str, Dict[str, List[Row]]] = {}
    for seed in seeds:
        for kind in ("washer", "bracket"):
            bench = Bench(seed=seed, part=kind, defects=0.0, seconds=60, size=size)
            camera = bench_camera(bench)
            pixel = bench.height_mm / bench.camera_matrix[0, 0]
            gauges = bench_gauges(bench, kind)
            shots = _alone(bench, kind, masters + most)
            known = [_true(part) for _, part, _ in shots]
            belt = "dark belt" if float(np.median(shots[0][0])) < 85 else "light belt"
            columns = result.setdefault(belt, {"as they come": [], "after masters": []})
            plain = Gauging({"gauges": gauges}, camera)
            ready: Optional[Gauging] = None
            try:
                first = [image for image, _, _ in shots[:masters]]
                offsets = master_gauges({"gauges": gauges}, first, known[:masters], camera)
                merged = {name: {**g, **offsets.get(name, {})} for name, g in gauges.items()}
                ready = Gauging({"gauges": merged}, camera)
            except ValueError:
                pass
            for (image, _, _), true in list(zip(shots, known))[masters:]:
                for name, gauging in (("as they come", plain), ("after masters", ready)):
                    columns[name] += _bench_rows(gauging, image, true, pixel)
    return result


def _true(part: Any) -> Dict[str, float]:
    if part.kind == "washer":
        return {"diameter": part.length, "bore": part.holes[0][2]}
    size = part.holes[0][2]
    return {"length": part.length, "width": part.width, "hole1": size, "hole2": size,
            "pitch": part.holes[1][0] - part.holes[0][0]}  # fmt: skip


def _bench_rows(
    gauging: Optional[Gauging], image: np.ndarray, true: Dict[str, float], pixel: float
) -> List[Row]:
    measured = None if gauging is None else gauging.measure(image)
    rows: List[Row] = []
    for name, value in true.items():
        measure = None
        if measured is not None and len(measured.parts) == 1:
            measure = measured.parts[0].measures.get(name)
        if measure is None:
            rows.append((name, math.nan, math.nan))
        else:
            rows.append((name, (measure.value - value) / pixel, measure.uncertainty / pixel))
    return rows


def hole_counts(seeds: Sequence[int], most: int) -> Dict[str, Tuple[int, int]]:
    """How many parts of the bench, some with a hole missing, have their holes counted rightly."""
    result: Dict[str, Tuple[int, int]] = {}
    for seed in seeds:
        for kind in ("washer", "bracket", "cap"):
            bench = Bench(seed=seed, part=kind, defects=0.4, seconds=40)
            gauging = Gauging({"gauges": {"holes": {"kind": "holes"}}}, bench_camera(bench))
            for image, part, _ in _alone(bench, kind, most):
                if part.defect in ("dent", "scratch"):
                    continue
                belt = "dark belt" if float(np.median(image)) < 85 else "light belt"
                parts = gauging.measure(image).parts
                right = len(parts) == 1 and parts[0].measures["holes"].value == len(part.holes)
                good, total = result.get(belt, (0, 0))
                result[belt] = good + right, total + 1
    return result


def study(seed: int, tolerance: float, moved: bool) -> List[str]:
    """%GRR of ten washers: three sessions in light that drifts, three pictures of each.

    Args:
        seed: Of the bench.
        tolerance: Upper minus lower limit, millimetres.
        moved: Whether the part lies elsewhere in each session; else the scene stands still.
    """
    bench = Bench(seed=seed, part="washer", defects=0.0, seconds=60)
    shots = _alone(bench, "washer", 10)
    see, whole = bench._sensor.see, list(bench.parts)
    gauging = Gauging({"gauges": bench_gauges(bench, "washer")}, bench_camera(bench))
    values = {name: np.zeros((len(shots), 3, 3)) for name in ("diameter", "bore")}
    for p, (_, part, index) in enumerate(shots):
        bench.parts = [part]
        for session in range(3):
            at = index + 2 * session * moved
            for trial in range(3):
                number = 3000 + 971 * session + 97 * trial + at

                def seen(image: np.ndarray, _: int, moment: float, n: int = number) -> np.ndarray:
                    return see(image, n, moment + 0.01 * n)

                bench._sensor.see = seen
                measures = gauging.measure(bench.render(at)[0].image).parts[0].measures
                for name, table in values.items():
                    table[p, session, trial] = measures[name].value
    bench.parts, bench._sensor.see = whole, see
    lines = []
    for name, table in values.items():
        names = tuple(str(k) for k in range(len(shots)))
        found = gauge_study(Study(table, names, ("1", "2", "3")), tolerance)
        gauge = found.components["gauge"]
        ndc = "no limit" if found.ndc is None else str(found.ndc)
        lines.append(
            f"  {'placed anew' if moved else 'standing still':16}{name:10} %GRR "
            f"{gauge.of_tolerance:5.1f} of the tolerance of {tolerance:g} mm, "
            f"{gauge.of_total:5.1f} of the total variation, ndc {ndc}: {found.verdict}"
        )
    return lines


def told(rows: Sequence[Row]) -> List[str]:
    """A line for each kind of gauge."""
    lines = []
    for group in dict.fromkeys(GROUPS.values()):
        own = [r for r in rows if GROUPS[r[0]] == group]
        if not own:
            continue
        error = np.array([r[1] for r in own])
        doubt = np.array([r[2] for r in own])
        seen = np.isfinite(error)
        if not seen.any():
            lines.append(f"  {group:26}{len(own):5} none found")
            continue
        size = np.abs(error[seen])
        lines.append(
            f"  {group:26}{len(own):5}{1 - seen.mean():8.1%}{error[seen].mean():+9.3f}"
            f"{np.median(size):8.3f}{np.percentile(size, 95):8.3f}"
            f"{float((size <= doubt[seen]).mean()):9.1%}{np.median(doubt[seen]):8.3f}"
        )
    return lines


HEAD = f"  {'':26}{'n':>5}{'lost':>8}{'mean':>9}{'median':>8}{'95 %':>8}{'covered':>9}{'stated':>8}"


def main(arguments: Optional[List[str]] = None) -> int:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, default=71, help="of rendered parts and the bench")
    parser.add_argument("--parts", type=int, default=40, help="rendered in each light")
    parser.add_argument("--seeds", type=int, default=6, help="benches")
    parser.add_argument("--study", action="store_true", help="the gauge study alone")
    options = parser.parse_args(arguments)
    load_cv2().setNumThreads(1)
    if options.study:
        seeds = range(options.seed * 100, options.seed * 100 + options.seeds)
        for moved in (False, True):
            print("\n".join(study(_dark(seeds), 0.5, moved)))
        return 0
    for light in LIGHT:
        print(f"rendered, {light} light: error in px (angles in degrees)")
        print("\n".join([HEAD, *told(rendered(light, options.parts, options.seed))]))
    print("rendered, typical light, camera calibrated from nine pictures of a chessboard")
    print("\n".join([HEAD, *told(calibrated(options.parts // 2, options.seed))]))
    for wall, edge, what in ((0.0, "face", "dark walls, edge: face"),
                             (1.0, "outline", "light walls, edge: outline")):  # fmt: skip
        print(f"rendered, typical light, parts 4 mm thick, {what}")
        rows = rendered("typical", options.parts // 2, options.seed + 1, 4.0, wall, edge)
        print("\n".join([HEAD, *told(rows)]))
    seeds = range(options.seed * 100, options.seed * 100 + options.seeds)
    for size, some in (((640, 360), seeds), ((1280, 720), list(seeds)[: options.seeds // 3])):
        for belt, columns in sorted(bench_rows(some, 8, 8, size).items()):
            for name, rows in columns.items():
                print(f"synth://bench {size[0]} x {size[1]}, {belt}, {name}")
                print("\n".join([HEAD, *told(rows)]))
    print("holes counted rightly")
    for belt, (right, total) in sorted(hole_counts(list(seeds)[:8], 6).items()):
        print(f"  {belt:12} {right} of {total}")
    print("gauge study: ten washers, three sessions, three pictures each")
    for moved in (False, True):
        print("\n".join(study(_dark(seeds), 0.5, moved)))
    print(f"speed: {speed(options.seed):.0f} ms of one core a picture of 640 x 360 with a plate")
    return 0


def _dark(seeds: Sequence[int]) -> int:
    """The first bench whose belt is dark."""
    dark = [s for s in seeds if float(np.median(Bench(seed=s).render(0)[0].image)) < 85]
    return dark[0] if dark else seeds[0]


def speed(seed: int) -> float:
    """Milliseconds of processor time a picture with five gauges on one part."""
    bench = Bench(seed=seed * 100, part="bracket", defects=0.0, seconds=20)
    gauging = Gauging({"gauges": bench_gauges(bench, "bracket")}, bench_camera(bench))
    images = [image for image, _, _ in _alone(bench, "bracket", 6)]
    gauging.measure(images[0])
    taken = []
    for image in images:
        start = time.process_time()
        gauging.measure(image)
        taken.append(time.process_time() - start)
    return 1e3 * float(np.median(taken))


if __name__ == "__main__":
    raise SystemExit(main())
