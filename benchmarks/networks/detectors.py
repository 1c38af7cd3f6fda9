"""Detectors, as their papers and published configurations describe them.

Only the layers are described, for the sake of shapes; no weight and no line of anyone's code is
here. Box decoding and suppression, which run on the CPU, are left out; the distribution of box
distances and the sigmoid of the scores, which exporters leave in the graph, are in.
"""

from functools import partial
from typing import Callable, Dict, List, Optional, Sequence, Tuple

from .builder import Builder
from .classifiers import Make

CLASSES = 80


def _wide(channels: float, width: float, limit: int = 1 << 20) -> int:
    return -(-int(min(channels, limit) * width) // 8) * 8


def bottleneck(b: Builder, x: str, out: int, shortcut: bool, e: float = 1.0, **how) -> str:
    """Two 3 x 3 convolutions and a sum."""
    y = b.conv(b.conv(x, int(out * e), 3, **how), out, 3, **how)
    return b.add(x, y) if shortcut and b.channels(x) == out else y


def c2f(b: Builder, x: str, out: int, count: int, shortcut: bool, inner: Callable) -> str:
    """YOLOv8's block: every step's result goes into the concatenation."""
    half = out // 2
    parts = b.split(b.conv(x, 2 * half, act="silu"), [half, half])
    for _ in range(count):
        parts.append(inner(b, parts[-1], half, shortcut))
    return b.conv(b.concat(parts), out, act="silu")


def c3(b: Builder, x: str, out: int, count: int, shortcut: bool, act: str, first: int = 1) -> str:
    """The cross-stage block of YOLOv5 and YOLOX; the bottleneck's first kernel is `first`."""
    half = out // 2
    y = b.conv(x, half, act=act)
    for _ in range(count):
        z = b.conv(b.conv(y, half, first, act=act), half, 3, act=act)
        y = b.add(y, z) if shortcut else z
    return b.conv(b.concat([y, b.conv(x, half, act=act)]), out, act=act)


def sppf(b: Builder, x: str, out: int) -> str:
    """Three poolings in a row, YOLOv5 to YOLO11."""
    parts = [b.conv(x, b.channels(x) // 2, act="silu")]
    for _ in range(3):
        parts.append(b.pool(parts[-1], 5))
    return b.conv(b.concat(parts), out, act="silu")


def distances_and_scores(b: Builder, maps: Sequence[Tuple[str, str]]) -> List[str]:
    """The end of YOLOv8's head: softmax over 16 bins, their mean, sigmoid of the scores."""
    rows = []
    for boxes, scores in maps:
        n, _, h, w = b.shapes[boxes]
        rows.append(b.reshape(b.concat([boxes, scores]), (n, 64 + CLASSES, h * w)))
    both = b.concat(rows, axis=2)
    n, _, count = b.shapes[both]
    bins, scores = b.split(both, [64, CLASSES])
    bins = b.transpose(b.reshape(bins, (n, 4, 16, count)), (0, 2, 1, 3))
    edges = b.reshape(b.conv(b.softmax(bins, 1), 1), (n, 4, count))
    return [b.concat([edges, b.act(scores, "sigmoid")])]


def anchor_free_head(b: Builder, maps: Sequence[str], light: bool) -> List[str]:
    """YOLOv8's head; `light` has the depthwise class branch of v10 and 11."""
    first = b.channels(maps[0])
    c2, c3_ = max(16, first // 4, 64), max(first, min(CLASSES, 100))
    found = []
    for x in maps:
        boxes = b.conv(b.conv(b.conv(x, c2, 3, act="silu"), c2, 3, act="silu"), 64)
        y = x
        for _ in range(2):
            if light:
                y = b.conv(y, b.channels(y), 3, groups=b.channels(y), act="silu")
                y = b.conv(y, c3_, act="silu")
            else:
                y = b.conv(y, c3_, 3, act="silu")
        found.append((boxes, b.conv(y, CLASSES)))
    return distances_and_scores(b, found)


def yolov8(b: Builder, depth: float, width: float, limit: int) -> List[str]:
    """YOLOv8."""

    def w(channels: int) -> int:
        return _wide(channels, width, limit)

    def down(x: str, channels: int) -> str:
        return b.conv(x, w(channels), 3, 2, act="silu")

    def block(x: str, channels: int, count: int, shortcut: bool = False) -> str:
        inner = partial(bottleneck, act="silu")
        return c2f(b, x, w(channels), max(1, round(count * depth)), shortcut, inner)

    x = block(down(down(b.images, 64), 128), 128, 3, True)
    p3 = block(down(x, 256), 256, 6, True)
    p4 = block(down(p3, 512), 512, 6, True)
    p5 = sppf(b, block(down(p4, 1024), 1024, 3, True), w(1024))
    n4 = block(b.concat([b.upsample(p5), p4]), 512, 3)
    n3 = block(b.concat([b.upsample(n4), p3]), 256, 3)
    m4 = block(b.concat([down(n3, 256), n4]), 512, 3)
    m5 = block(b.concat([down(m4, 512), p5]), 1024, 3)
    return anchor_free_head(b, [n3, m4, m5], light=False)


def attention(b: Builder, x: str, count: int) -> str:
    """The position-sensitive attention of v10 and 11."""
    half = b.channels(x) // 2
    left, y = b.split(b.conv(x, 2 * half, act="silu"), [half, half])
    heads = max(1, half // 64)
    head, key = half // heads, half // heads // 2
    for _ in range(count):
        n, _, h, w = b.shapes[y]
        qkv = b.reshape(b.conv(y, half + 2 * heads * key), (n, heads, 2 * key + head, h * w))
        q, k, v = b.split(qkv, [key, key, head], axis=2)
        scores = b.mul(b.matmul(b.transpose(q, (0, 1, 3, 2)), k), b.scalar(key**-0.5))
        seen = b.transpose(b.softmax(scores, 3), (0, 1, 3, 2))
        mixed = b.reshape(b.matmul(v, seen), (n, half, h, w))
        place = b.conv(b.reshape(v, (n, half, h, w)), half, 3, groups=half)
        y = b.add(y, b.conv(b.add(mixed, place), half))
        y = b.add(y, b.conv(b.conv(y, 2 * half, act="silu"), half))
    return b.conv(b.concat([left, y]), 2 * half, act="silu")


def yolo11(b: Builder, depth: float, width: float, limit: int, deep: bool) -> List[str]:
    """YOLO11; `deep` is its use of inner cross-stage blocks everywhere, as in m, l and x."""

    def w(channels: int) -> int:
        return _wide(channels, width, limit)

    def down(x: str, channels: int) -> str:
        return b.conv(x, w(channels), 3, 2, act="silu")

    def block(x: str, channels: int, inner_c3: bool, e: float = 0.5) -> str:
        out = w(channels)
        half = int(out * e)
        parts = b.split(b.conv(x, 2 * half, act="silu"), [half, half])
        for _ in range(max(1, round(2 * depth))):
            if inner_c3 or deep:
                parts.append(c3(b, parts[-1], half, 2, True, "silu", first=3))
            else:
                parts.append(bottleneck(b, parts[-1], half, True, 0.5, act="silu"))
        return b.conv(b.concat(parts), out, act="silu")

    x = block(down(down(b.images, 64), 128), 256, False, 0.25)
    p3 = block(down(x, 256), 512, False, 0.25)
    p4 = block(down(p3, 512), 512, True)
    p5 = sppf(b, block(down(p4, 1024), 1024, True), w(1024))
    p5 = attention(b, p5, max(1, round(2 * depth)))
    n4 = block(b.concat([b.upsample(p5), p4]), 512, False)
    n3 = block(b.concat([b.upsample(n4), p3]), 256, False)
    m4 = block(b.concat([down(n3, 256), n4]), 512, False)
    m5 = block(b.concat([down(m4, 512), p5]), 1024, True)
    return anchor_free_head(b, [n3, m4, m5], light=True)


def yolov10(b: Builder, depth: float, width: float, limit: int, size: str) -> List[str]:
    """YOLOv10 (Wang et al. 2024), the head without suppression only."""

    def w(channels: int) -> int:
        return _wide(channels, width, limit)

    def down(x: str, channels: int) -> str:
        return b.conv(x, w(channels), 3, 2, act="silu")

    def apart(x: str, channels: int) -> str:
        y = b.conv(x, w(channels), act="silu")
        return b.conv(y, w(channels), 3, 2, groups=w(channels))

    def inverted(b: Builder, x: str, out: int, shortcut: bool, large: bool) -> str:
        c = b.channels(x)
        y = b.conv(b.conv(x, c, 3, groups=c, act="silu"), 2 * out, act="silu")
        y = b.conv(y, 2 * out, 7 if large else 3, groups=2 * out, act="silu")
        y = b.conv(b.conv(y, out, act="silu"), out, 3, groups=out, act="silu")
        return b.add(x, y) if shortcut else y

    def block(x: str, channels: int, count: int, kind: str = "") -> str:
        inner = partial(bottleneck, act="silu")
        shortcut = kind == "short"
        if kind.startswith("cib"):
            inner, shortcut = partial(inverted, large=kind == "cib7"), True
        return c2f(b, x, w(channels), max(1, round(count * depth)), shortcut, inner)

    deep = {"n": "short", "s": "cib7", "m": "cib"}[size]
    x = block(down(down(b.images, 64), 128), 128, 3, "short")
    p3 = block(down(x, 256), 256, 6, "short")
    p4 = block(apart(p3, 512), 512, 6, "short")
    p5 = attention(b, sppf(b, block(apart(p4, 1024), 1024, 3, deep), w(1024)), 1)
    n4 = block(b.concat([b.upsample(p5), p4]), 512, 3)
    n3 = block(b.concat([b.upsample(n4), p3]), 256, 3)
    m4 = block(b.concat([down(n3, 256), n4]), 512, 3, "cib" if size == "m" else "")
    m5 = block(b.concat([apart(m4, 512), p5]), 1024, 3, "cib" if size == "m" else "cib7")
    return anchor_free_head(b, [n3, m4, m5], light=True)


def yolov9(b: Builder, widths: Sequence[int], count: int) -> List[str]:
    """YOLOv9 t, s, m (Wang et al. 2024), with its side branches merged as for inference."""
    one, two, c3_, c4, c5 = widths

    def down(x: str, out: int) -> str:
        return b.conv(b.pool(x, 2, 1, 0, "Average"), out, 3, 2, act="silu")

    def block(x: str, out: int) -> str:
        half = out // 2
        parts = b.split(b.conv(x, out, act="silu"), [half, half])
        for _ in range(2):
            y = c3(b, parts[-1], half, count, True, "silu", first=3)
            parts.append(b.conv(y, half, 3, act="silu"))
        return b.conv(b.concat(parts), out, act="silu")

    x = b.conv(b.conv(b.images, one, 3, 2, act="silu"), two, 3, 2, act="silu")
    if count == 1:
        x = block(x, 2 * two)
    else:
        parts = b.split(b.conv(x, two, act="silu"), [two // 2, two // 2])
        for _ in range(2):
            parts.append(b.conv(parts[-1], two // 2, 3, act="silu"))
        x = b.conv(b.concat(parts), two, act="silu")
    p3 = block(down(x, c3_), c3_)
    p4 = block(down(p3, c4), c4)
    p5 = block(down(p4, c5), c5)
    parts = [b.conv(p5, c5 // 2, act="silu")]
    for _ in range(3):
        parts.append(b.pool(parts[-1], 5))
    p5 = b.conv(b.concat(parts), c5, act="silu")
    n4 = block(b.concat([b.upsample(p5), p4]), c4)
    n3 = block(b.concat([b.upsample(n4), p3]), c3_)
    m4 = block(b.concat([down(n3, c4 // 2), n4]), c4)
    m5 = block(b.concat([down(m4, c5 // 2), p5]), c5)
    return anchor_free_head(b, [n3, m4, m5], light=False)


def yolov5(b: Builder, depth: float, width: float) -> List[str]:
    """YOLOv5 6.x."""

    def down(x: str, channels: int) -> str:
        return b.conv(x, _wide(channels, width), 3, 2, act="silu")

    def block(x: str, channels: int, count: int, shortcut: bool = False) -> str:
        return c3(b, x, _wide(channels, width), max(1, round(count * depth)), shortcut, "silu")

    def thin(x: str, channels: int) -> str:
        return b.conv(x, _wide(channels, width), act="silu")

    x = b.conv(b.images, _wide(64, width), 6, 2, act="silu", pad=2)
    x = block(down(x, 128), 128, 3, True)
    p3 = block(down(x, 256), 256, 6, True)
    p4 = block(down(p3, 512), 512, 9, True)
    p5 = sppf(b, block(down(p4, 1024), 1024, 3, True), _wide(1024, width))
    t5 = thin(p5, 512)
    t4 = thin(block(b.concat([b.upsample(t5), p4]), 512, 3), 256)
    n3 = block(b.concat([b.upsample(t4), p3]), 256, 3)
    n4 = block(b.concat([down(n3, 256), t4]), 512, 3)
    n5 = block(b.concat([down(n4, 512), t5]), 1024, 3)
    return [b.act(b.conv(x, 3 * (CLASSES + 5)), "sigmoid") for x in (n3, n4, n5)]


def yolov7_tiny(b: Builder) -> List[str]:
    """YOLOv7-tiny (Wang et al. 2022), with its leaky activations."""
    conv = partial(b.conv, act="leaky")

    def block(x: str, out: int) -> str:
        half = out // 2
        parts = [conv(x, half), conv(x, half)]
        for _ in range(2):
            parts.append(conv(parts[-1], half, 3))
        return conv(b.concat(parts), out)

    x = block(conv(conv(b.images, 32, 3, 2), 64, 3, 2), 64)
    p3 = block(b.pool(x, 2, 2, 0), 128)
    p4 = block(b.pool(p3, 2, 2, 0), 256)
    x = block(b.pool(p4, 2, 2, 0), 512)
    y = conv(x, 256)
    y = conv(b.concat([y, *(b.pool(y, k) for k in (5, 9, 13))]), 256)
    p5 = conv(b.concat([y, conv(x, 256)]), 256)
    n4 = block(b.concat([b.upsample(conv(p5, 128)), conv(p4, 128)]), 128)
    n3 = block(b.concat([b.upsample(conv(n4, 64)), conv(p3, 64)]), 64)
    m4 = block(b.concat([conv(n3, 128, 3, 2), n4]), 128)
    m5 = block(b.concat([conv(m4, 256, 3, 2), p5]), 256)
    last = [conv(x, 2 * b.channels(x), 3) for x in (n3, m4, m5)]
    return [b.act(b.conv(x, 3 * (CLASSES + 5)), "sigmoid") for x in last]


def yolox(
    b: Builder, depth: float, width: float, depthwise: bool = False, act: str = "silu"
) -> List[str]:
    """YOLOX (Ge et al. 2021)."""

    def conv(x: str, out: int, kernel: int = 1, stride: int = 1) -> str:
        if depthwise and kernel > 1:
            x = b.conv(x, b.channels(x), kernel, stride, groups=b.channels(x), act=act)
            return b.conv(x, out, act=act)
        return b.conv(x, out, kernel, stride, act=act)

    def block(x: str, out: int, count: int, shortcut: bool = False) -> str:
        half, n = out // 2, max(1, round(count * depth))
        y, z = b.conv(x, half, act=act), b.conv(x, half, act=act)
        for _ in range(n):
            step = conv(b.conv(y, half, act=act), half, 3)
            y = b.add(y, step) if shortcut else step
        return b.conv(b.concat([y, z]), out, act=act)

    c = int(64 * width)
    n, _, h, w = b.shapes[b.images]
    corners = []
    for left, top in ((0, 0), (0, 1), (1, 0), (1, 1)):
        corners.append(b.slice(b.slice(b.images, 2, top, h, 2), 3, left, w, 2))
    x = b.conv(b.concat(corners), c, 3, act=act)
    x = block(conv(x, 2 * c, 3, 2), 2 * c, 3, True)
    p3 = block(conv(x, 4 * c, 3, 2), 4 * c, 9, True)
    p4 = block(conv(p3, 8 * c, 3, 2), 8 * c, 9, True)
    y = b.conv(conv(p4, 16 * c, 3, 2), 8 * c, act=act)
    y = b.conv(b.concat([y, *(b.pool(y, k) for k in (5, 9, 13))]), 16 * c, act=act)
    p5 = block(y, 16 * c, 3)
    t5 = b.conv(p5, 8 * c, act=act)
    t4 = b.conv(block(b.concat([b.upsample(t5), p4]), 8 * c, 3), 4 * c, act=act)
    n3 = block(b.concat([b.upsample(t4), p3]), 4 * c, 3)
    n4 = block(b.concat([conv(n3, 4 * c, 3, 2), t4]), 8 * c, 3)
    n5 = block(b.concat([conv(n4, 8 * c, 3, 2), t5]), 16 * c, 3)
    rows = []
    for x in (n3, n4, n5):
        stem = b.conv(x, 4 * c, act=act)
        cls, reg = (conv(conv(stem, 4 * c, 3), 4 * c, 3) for _ in range(2))
        seen = b.act(b.conv(reg, 1), "sigmoid")
        y = b.concat([b.conv(reg, 4), seen, b.act(b.conv(cls, CLASSES), "sigmoid")])
        n, channels, h, w = b.shapes[y]
        rows.append(b.reshape(y, (n, channels, h * w)))
    return [b.transpose(b.concat(rows, axis=2), (0, 2, 1))]


def yolov3(b: Builder) -> List[str]:
    """YOLOv3 (Redmon and Farhadi 2018)."""
    conv = partial(b.conv, act="leaky")

    def stage(x: str, out: int, count: int) -> str:
        x = conv(x, out, 3, 2)
        for _ in range(count):
            x = b.add(x, conv(conv(x, out // 2), out, 3))
        return x

    x = stage(stage(conv(b.images, 32, 3), 64, 1), 128, 2)
    p3 = stage(x, 256, 8)
    p4 = stage(p3, 512, 8)
    x, found = stage(p4, 1024, 4), []
    for half, lateral in ((512, p4), (256, p3), (128, None)):
        for _ in range(2):
            x = conv(conv(x, half), 2 * half, 3)
        x = conv(x, half)
        found.append(b.conv(conv(x, 2 * half, 3), 3 * (CLASSES + 5)))
        if lateral is not None:
            x = b.concat([b.upsample(conv(x, half // 2)), lateral])
    return found


def yolov3_tiny(b: Builder) -> List[str]:
    """YOLOv3-tiny."""
    conv = partial(b.conv, act="leaky")
    x = conv(b.images, 16, 3)
    for width in (32, 64, 128, 256):
        x = conv(b.pool(x, 2, 2, 0), width, 3)
    early = x
    x = conv(b.pool(x, 2, 2, 0), 512, 3)
    y = conv(conv(x, 1024, 3), 256)
    z = b.concat([b.upsample(conv(y, 128)), early])
    return [b.conv(conv(y, 512, 3), 255), b.conv(conv(z, 256, 3), 255)]


def yolov4(b: Builder) -> List[str]:
    """YOLOv4 (Bochkovskiy et al. 2020)."""
    conv, mish = partial(b.conv, act="leaky"), partial(b.conv, act="mish")

    def stage(x: str, out: int, count: int) -> str:
        x = mish(x, out, 3, 2)
        inner = out if count == 1 else out // 2
        side, y = mish(x, inner), mish(x, inner)
        for _ in range(count):
            y = b.add(y, mish(mish(y, out // 2), inner, 3))
        return mish(b.concat([mish(y, inner), side]), out)

    def five(x: str, half: int) -> str:
        for _ in range(2):
            x = conv(conv(x, half), 2 * half, 3)
        return conv(x, half)

    x = stage(stage(mish(b.images, 32, 3), 64, 1), 128, 2)
    p3 = stage(x, 256, 8)
    p4 = stage(p3, 512, 8)
    x = conv(conv(conv(stage(p4, 1024, 4), 512), 1024, 3), 512)
    x = b.concat([*(b.pool(x, k) for k in (13, 9, 5)), x])
    p5 = conv(conv(conv(x, 512), 1024, 3), 512)
    n4 = five(b.concat([conv(p4, 256), b.upsample(conv(p5, 256))]), 256)
    n3 = five(b.concat([conv(p3, 128), b.upsample(conv(n4, 128))]), 128)
    m4 = five(b.concat([conv(n3, 256, 3, 2), n4]), 256)
    m5 = five(b.concat([conv(m4, 512, 3, 2), p5]), 512)
    return [b.conv(conv(x, 2 * b.channels(x), 3), 255) for x in (n3, m4, m5)]


def yolov4_tiny(b: Builder) -> List[str]:
    """YOLOv4-tiny (Wang et al. 2021)."""
    conv = partial(b.conv, act="leaky")
    x = conv(conv(b.images, 32, 3, 2), 64, 3, 2)
    kept = x
    for width in (64, 128, 256):
        x = conv(x, width, 3)
        half = b.split(x, [width // 2, width // 2])[1]
        y = conv(half, width // 2, 3)
        z = conv(y, width // 2, 3)
        kept = conv(b.concat([z, y]), width)
        x = b.pool(b.concat([x, kept]), 2, 2, 0)
    y = conv(conv(x, 512, 3), 256)
    z = b.concat([b.upsample(conv(y, 128)), kept])
    return [b.conv(conv(y, 512, 3), 255), b.conv(conv(z, 256, 3), 255)]


def ssd_mobilenet_v1(b: Builder) -> List[str]:
    """SSD on MobileNet-v1, 91 classes, as TensorFlow's detection models have it."""
    x = b.conv(b.images, 32, 3, 2, act="relu6")
    whole: Optional[str] = None
    plan = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)] + [(512, 1)] * 5
    for out, stride in plan:
        x = b.conv(x, b.channels(x), 3, stride, groups=b.channels(x), act="relu6")
        x = b.conv(x, out, act="relu6")
    whole = x
    for out, stride in ((1024, 2), (1024, 1)):
        x = b.conv(x, b.channels(x), 3, stride, groups=b.channels(x), act="relu6")
        x = b.conv(x, out, act="relu6")
    maps = [whole, x]
    for half, out in ((256, 512), (128, 256), (128, 256), (64, 128)):
        x = b.conv(b.conv(x, half, act="relu6"), out, 3, 2, act="relu6")
        maps.append(x)
    found = []
    for index, x in enumerate(maps):
        boxes = 3 if index == 0 else 6
        found += [b.conv(x, boxes * 4), b.act(b.conv(x, boxes * 91), "sigmoid")]
    return found


DETECTORS: Dict[str, Tuple[Make, int, float]] = {
    "yolov3": (yolov3, 416, 65.9),
    "yolov3-tiny": (yolov3_tiny, 416, 5.57),
    "yolov4": (yolov4, 416, 60.1),
    "yolov4-tiny": (yolov4_tiny, 416, 6.91),
    "yolov5n": (partial(yolov5, depth=0.33, width=0.25), 640, 4.5),
    "yolov5s": (partial(yolov5, depth=0.33, width=0.5), 640, 16.5),
    "yolov5m": (partial(yolov5, depth=0.67, width=0.75), 640, 49.0),
    "yolov5l": (partial(yolov5, depth=1.0, width=1.0), 640, 109.1),
    "yolov7-tiny": (yolov7_tiny, 640, 13.7),
    "yolov8n": (partial(yolov8, depth=0.33, width=0.25, limit=1024), 640, 8.7),
    "yolov8s": (partial(yolov8, depth=0.33, width=0.5, limit=1024), 640, 28.6),
    "yolov8m": (partial(yolov8, depth=0.67, width=0.75, limit=768), 640, 78.9),
    "yolov8l": (partial(yolov8, depth=1.0, width=1.0, limit=512), 640, 165.2),
    "yolov8x": (partial(yolov8, depth=1.0, width=1.25, limit=512), 640, 257.8),
    "yolov9t": (partial(yolov9, widths=(16, 32, 64, 96, 128), count=3), 640, 8.2),
    "yolov9s": (partial(yolov9, widths=(32, 64, 128, 192, 256), count=3), 640, 26.4),
    "yolov9m": (partial(yolov9, widths=(32, 64, 240, 360, 480), count=1), 640, 76.3),
    "yolov10n": (partial(yolov10, depth=0.33, width=0.25, limit=1024, size="n"), 640, 6.7),
    "yolov10s": (partial(yolov10, depth=0.33, width=0.5, limit=1024, size="s"), 640, 21.6),
    "yolov10m": (partial(yolov10, depth=0.67, width=0.75, limit=768, size="m"), 640, 59.1),
    "yolo11n": (partial(yolo11, depth=0.5, width=0.25, limit=1024, deep=False), 640, 6.5),
    "yolo11s": (partial(yolo11, depth=0.5, width=0.5, limit=1024, deep=False), 640, 21.5),
    "yolo11m": (partial(yolo11, depth=0.5, width=1.0, limit=512, deep=True), 640, 68.0),
    "yolo11l": (partial(yolo11, depth=1.0, width=1.0, limit=512, deep=True), 640, 86.9),
    "yolo11x": (partial(yolo11, depth=1.0, width=1.5, limit=512, deep=True), 640, 194.9),
    "yolox-nano": (partial(yolox, depth=0.33, width=0.25, depthwise=True), 416, 1.08),
    "yolox-tiny": (partial(yolox, depth=0.33, width=0.375), 416, 6.45),
    "yolox-s": (partial(yolox, depth=0.33, width=0.5), 640, 26.8),
    "yolox-s-leaky": (partial(yolox, depth=0.33, width=0.5, act="leaky"), 640, 26.8),
    "yolox-m": (partial(yolox, depth=0.67, width=0.75), 640, 73.8),
    "yolox-l": (partial(yolox, depth=1.0, width=1.0), 640, 155.6),
    "ssd-mobilenet-v1": (ssd_mobilenet_v1, 300, 2.47),
}
