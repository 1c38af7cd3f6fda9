"""Classifiers, as their papers and torchvision describe them."""

from functools import partial
from typing import Callable, Dict, List, Sequence, Tuple

from .builder import Builder

Make = Callable[[Builder], List[str]]


def resnet(b: Builder, blocks: Sequence[int], bottleneck: bool) -> List[str]:
    """ResNet (He et al. 2016; the stride lies in the 3 x 3 as in torchvision)."""
    x = b.pool(b.conv(b.images, 64, 7, 2, act="relu"), 3, 2, 1)
    for stage, count in enumerate(blocks):
        width = 64 << stage
        for index in range(count):
            stride = 2 if stage and not index else 1
            out = width * (4 if bottleneck else 1)
            short = x
            if stride != 1 or b.channels(x) != out:
                short = b.conv(x, out, 1, stride)
            if bottleneck:
                y = b.conv(b.conv(x, width, act="relu"), width, 3, stride, act="relu")
                y = b.conv(y, out)
            else:
                y = b.conv(b.conv(x, width, 3, stride, act="relu"), width, 3)
            x = b.act(b.add(y, short), "relu")
    return [b.linear(b.mean(x), 1000)]


def vgg(b: Builder, blocks: Sequence[int]) -> List[str]:
    """VGG (Simonyan and Zisserman 2015)."""
    x = b.images
    for width, count in zip((64, 128, 256, 512, 512), blocks):
        for _ in range(count):
            x = b.conv(x, width, 3, act="relu")
        x = b.pool(x, 2, 2, 0)
    return [b.linear(b.linear(b.linear(x, 4096, "relu"), 4096, "relu"), 1000)]


def alexnet(b: Builder) -> List[str]:
    """AlexNet as torchvision has it (Krizhevsky 2014)."""
    x = b.pool(b.conv(b.images, 64, 11, 4, act="relu", pad=2), 3, 2, 0)
    x = b.pool(b.conv(x, 192, 5, act="relu"), 3, 2, 0)
    for width in (384, 256, 256):
        x = b.conv(x, width, 3, act="relu")
    x = b.pool(x, 3, 2, 0)
    return [b.linear(b.linear(b.linear(x, 4096, "relu"), 4096, "relu"), 1000)]


def squeezenet(b: Builder, version: str) -> List[str]:
    """SqueezeNet (Iandola et al. 2016)."""
    fires = [(16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256)]
    if version == "1.0":
        x, pools = b.conv(b.images, 96, 7, 2, act="relu", pad=0), (2, 6)
    else:
        x, pools = b.conv(b.images, 64, 3, 2, act="relu", pad=0), (1, 3)
    x = b.pool(x, 3, 2, 0, ceil=True)
    for index, (squeeze, expand) in enumerate(fires):
        s = b.conv(x, squeeze, act="relu")
        x = b.concat([b.conv(s, expand, act="relu"), b.conv(s, expand, 3, act="relu")])
        if index in pools:
            x = b.pool(x, 3, 2, 0, ceil=True)
    return [b.mean(b.conv(x, 1000, act="relu"))]


def densenet(b: Builder, blocks: Sequence[int], growth: int = 32, first: int = 64) -> List[str]:
    """DenseNet (Huang et al. 2017): normalisation and ReLU stand before each convolution."""
    x = b.pool(b.conv(b.images, first, 7, 2, act="relu"), 3, 2, 1)
    for stage, count in enumerate(blocks):
        for _ in range(count):
            y = b.act(b.mul(x, b.scalar(1.0)), "relu")  # the normalisation, as a scale
            y = b.conv(y, 4 * growth, act="relu")
            x = b.concat([x, b.conv(y, growth, 3)])
        x = b.act(b.mul(x, b.scalar(1.0)), "relu")
        if stage + 1 < len(blocks):
            x = b.pool(b.conv(x, b.channels(x) // 2), 2, 2, 0, "Average")
    return [b.linear(b.mean(x), 1000)]


def mobilenet_v1(b: Builder, width: float = 1.0) -> List[str]:
    """MobileNet (Howard et al. 2017)."""
    x = b.conv(b.images, int(32 * width), 3, 2, act="relu6")
    x = mobilenet_v1_body(b, x, width)
    return [b.linear(b.mean(x), 1000)]


def mobilenet_v1_body(b: Builder, x: str, width: float) -> str:
    """Its thirteen pairs of depthwise and pointwise convolutions."""
    plan = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)]
    plan += [(512, 1)] * 5 + [(1024, 2), (1024, 1)]
    for out, stride in plan:
        x = b.conv(x, b.channels(x), 3, stride, groups=b.channels(x), act="relu6")
        x = b.conv(x, int(out * width), act="relu6")
    return x


def inverted(b: Builder, x: str, out: int, stride: int, expand: int, kernel: int = 3) -> str:
    """MobileNet-v2's block."""
    wide = b.channels(x) * expand
    y = b.conv(x, wide, act="relu6") if expand != 1 else x
    y = b.conv(b.conv(y, wide, kernel, stride, groups=wide, act="relu6"), out)
    return b.add(x, y) if stride == 1 and out == b.channels(x) else y


def mobilenet_v2(b: Builder) -> List[str]:
    """MobileNet-v2 (Sandler et al. 2018)."""
    x = b.conv(b.images, 32, 3, 2, act="relu6")
    plan = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1)]
    for expand, out, count, stride in [*plan, (6, 160, 3, 2), (6, 320, 1, 1)]:
        for index in range(count):
            x = inverted(b, x, out, stride if not index else 1, expand)
    return [b.linear(b.mean(b.conv(x, 1280, act="relu6")), 1000)]


def mobilenet_v3(b: Builder, large: bool) -> List[str]:
    """MobileNet-v3 (Howard et al. 2019), tables 1 and 2."""
    # kernel, channels inside, channels out, squeeze and excitation, activation, stride
    small_plan = [
        (3, 16, 16, True, "relu", 2), (3, 72, 24, False, "relu", 2), (3, 88, 24, False, "relu", 1),
        (5, 96, 40, True, "hswish", 2), (5, 240, 40, True, "hswish", 1),
        (5, 240, 40, True, "hswish", 1), (5, 120, 48, True, "hswish", 1),
        (5, 144, 48, True, "hswish", 1), (5, 288, 96, True, "hswish", 2),
        (5, 576, 96, True, "hswish", 1), (5, 576, 96, True, "hswish", 1),
    ]  # fmt: skip
    large_plan = [
        (3, 16, 16, False, "relu", 1), (3, 64, 24, False, "relu", 2), (3, 72, 24, False, "relu", 1),
        (5, 72, 40, True, "relu", 2), (5, 120, 40, True, "relu", 1), (5, 120, 40, True, "relu", 1),
        (3, 240, 80, False, "hswish", 2), (3, 200, 80, False, "hswish", 1),
        (3, 184, 80, False, "hswish", 1), (3, 184, 80, False, "hswish", 1),
        (3, 480, 112, True, "hswish", 1), (3, 672, 112, True, "hswish", 1),
        (5, 672, 160, True, "hswish", 2), (5, 960, 160, True, "hswish", 1),
        (5, 960, 160, True, "hswish", 1),
    ]  # fmt: skip
    x = b.conv(b.images, 16, 3, 2, act="hswish")
    for kernel, inside, out, excited, act, stride in large_plan if large else small_plan:
        y = x if inside == b.channels(x) else b.conv(x, inside, act=act)
        y = b.conv(y, inside, kernel, stride, groups=inside, act=act)
        if excited:
            narrow = max(8, int(inside / 4 + 4) // 8 * 8)
            gate = b.conv(b.conv(b.mean(y), narrow, act="relu"), inside)
            y = b.mul(y, b.pointwise("HardSigmoid", gate))
        y = b.conv(y, out)
        x = b.add(x, y) if stride == 1 and out == b.channels(x) else y
    x = b.mean(b.conv(x, 960 if large else 576, act="hswish"))
    return [b.linear(b.linear(x, 1280 if large else 1024, act="hswish"), 1000)]


def mnasnet(b: Builder, width: float) -> List[str]:
    """MNASNet-B1 (Tan et al. 2019), as torchvision scales it."""

    def wide(n: int) -> int:
        new = max(8, int(n * width + 4) // 8 * 8)
        return new + 8 if new < 0.9 * n * width else new

    x = b.conv(b.images, wide(32), 3, 2, act="relu")
    x = b.conv(b.conv(x, b.channels(x), 3, groups=b.channels(x), act="relu"), wide(16))
    plan = [(24, 3, 2, 3, 3), (40, 5, 2, 3, 3), (80, 5, 2, 6, 3), (96, 3, 1, 6, 2)]
    for out, kernel, stride, expand, count in [*plan, (192, 5, 2, 6, 4), (320, 3, 1, 6, 1)]:
        for index in range(count):
            x = inverted(b, x, wide(out), stride if not index else 1, expand, kernel)
    return [b.linear(b.mean(b.conv(x, 1280, act="relu")), 1000)]


def shufflenet_v2(b: Builder, widths: Sequence[int]) -> List[str]:
    """ShuffleNet-v2 (Ma et al. 2018)."""
    x = b.pool(b.conv(b.images, 24, 3, 2, act="relu"), 3, 2, 1)
    for width, count in zip(widths, (4, 8, 4)):
        half = width // 2
        for index in range(count):
            if index:
                left, right = b.split(x, [half, half])
            else:
                left = b.conv(x, b.channels(x), 3, 2, groups=b.channels(x))
                left, right = b.conv(left, half, act="relu"), x
            y = b.conv(right, half, act="relu")
            y = b.conv(b.conv(y, half, 3, 1 if index else 2, groups=half), half, act="relu")
            n, c, h, w = b.shapes[b.concat([left, y])]
            x = b.concat([left, y])
            x = b.transpose(b.reshape(x, (n, 2, c // 2, h, w)), (0, 2, 1, 3, 4))
            x = b.reshape(x, (n, c, h, w))
    return [b.linear(b.mean(b.conv(x, widths[3], act="relu")), 1000)]


def inception_v1(b: Builder) -> List[str]:
    """GoogLeNet (Szegedy et al. 2015)."""
    conv = partial(b.conv, act="relu")
    x = b.pool(conv(b.images, 64, 7, 2), 3, 2, 1)
    x = b.pool(conv(conv(x, 64), 192, 3), 3, 2, 1)
    table = [
        (64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64), None,
        (192, 96, 208, 16, 48, 64), (160, 112, 224, 24, 64, 64), (128, 128, 256, 24, 64, 64),
        (112, 144, 288, 32, 64, 64), (256, 160, 320, 32, 128, 128), None,
        (256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128),
    ]  # fmt: skip
    for row in table:
        if row is None:
            x = b.pool(x, 3, 2, 1)
            continue
        one, r3, three, r5, five, proj = row
        x = b.concat(
            [
                conv(x, one),
                conv(conv(x, r3), three, 3),
                conv(conv(x, r5), five, 3),
                conv(b.pool(x, 3), proj),
            ]
        )
    return [b.linear(b.mean(x), 1000)]


def inception_v3(b: Builder) -> List[str]:
    """Inception-v3 (Szegedy et al. 2016)."""
    conv = partial(b.conv, act="relu")
    x = conv(conv(conv(b.images, 32, 3, 2, pad=0), 32, 3, pad=0), 64, 3)
    x = b.pool(x, 3, 2, 0)
    x = b.pool(conv(conv(x, 80, pad=0), 192, 3, pad=0), 3, 2, 0)
    for proj in (32, 64, 64):
        x = b.concat(
            [
                conv(x, 64),
                conv(conv(x, 48), 64, 5),
                conv(conv(conv(x, 64), 96, 3), 96, 3),
                conv(b.pool(x, 3, kind="Average"), proj),
            ]
        )
    x = b.concat(
        [
            conv(x, 384, 3, 2, pad=0),
            conv(conv(conv(x, 64), 96, 3), 96, 3, 2, pad=0),
            b.pool(x, 3, 2, 0),
        ]
    )
    for c in (128, 160, 160, 192):
        far = conv(conv(conv(x, c), c, (7, 1)), c, (1, 7))
        x = b.concat(
            [
                conv(x, 192),
                conv(conv(conv(x, c), c, (1, 7)), 192, (7, 1)),
                conv(conv(far, c, (7, 1)), 192, (1, 7)),
                conv(b.pool(x, 3, kind="Average"), 192),
            ]
        )
    x = b.concat(
        [
            conv(conv(x, 192), 320, 3, 2, pad=0),
            conv(conv(conv(conv(x, 192), 192, (1, 7)), 192, (7, 1)), 192, 3, 2, pad=0),
            b.pool(x, 3, 2, 0),
        ]
    )
    for _ in range(2):
        near, far = conv(x, 384), conv(conv(x, 448), 384, 3)
        x = b.concat(
            [
                conv(x, 320),
                conv(near, 384, (1, 3)),
                conv(near, 384, (3, 1)),
                conv(far, 384, (1, 3)),
                conv(far, 384, (3, 1)),
                conv(b.pool(x, 3, kind="Average"), 192),
            ]
        )
    return [b.linear(b.mean(x), 1000)]


def inception_v4(b: Builder) -> List[str]:
    """Inception-v4 (Szegedy et al. 2017)."""
    conv = partial(b.conv, act="relu")
    x = conv(conv(conv(b.images, 32, 3, 2, pad=0), 32, 3, pad=0), 64, 3)
    x = b.concat([b.pool(x, 3, 2, 0), conv(x, 96, 3, 2, pad=0)])
    far = conv(conv(conv(x, 64), 64, (1, 7)), 64, (7, 1))
    x = b.concat([conv(conv(x, 64), 96, 3, pad=0), conv(far, 96, 3, pad=0)])
    x = b.concat([conv(x, 192, 3, 2, pad=0), b.pool(x, 3, 2, 0)])
    for _ in range(4):
        x = b.concat(
            [
                conv(x, 96),
                conv(conv(x, 64), 96, 3),
                conv(conv(conv(x, 64), 96, 3), 96, 3),
                conv(b.pool(x, 3, kind="Average"), 96),
            ]
        )
    far = conv(conv(conv(x, 192), 224, 3), 256, 3, 2, pad=0)
    x = b.concat([conv(x, 384, 3, 2, pad=0), far, b.pool(x, 3, 2, 0)])
    for _ in range(7):
        far = conv(conv(conv(x, 192), 192, (7, 1)), 224, (1, 7))
        x = b.concat(
            [
                conv(x, 384),
                conv(conv(conv(x, 192), 224, (1, 7)), 256, (7, 1)),
                conv(conv(far, 224, (7, 1)), 256, (1, 7)),
                conv(b.pool(x, 3, kind="Average"), 128),
            ]
        )
    far = conv(conv(conv(x, 256), 256, (1, 7)), 320, (7, 1))
    x = b.concat(
        [conv(conv(x, 192), 192, 3, 2, pad=0), conv(far, 320, 3, 2, pad=0), b.pool(x, 3, 2, 0)]
    )
    for _ in range(3):
        near, far = conv(x, 384), conv(conv(conv(x, 384), 448, (3, 1)), 512, (1, 3))
        x = b.concat(
            [
                conv(x, 256),
                conv(near, 256, (1, 3)),
                conv(near, 256, (3, 1)),
                conv(far, 256, (1, 3)),
                conv(far, 256, (3, 1)),
                conv(b.pool(x, 3, kind="Average"), 256),
            ]
        )
    return [b.linear(b.mean(x), 1000)]


CLASSIFIERS: Dict[str, Tuple[Make, int, float]] = {
    # name: how it is made, usual size, GFLOPs at that size (a multiply-add is two)
    "alexnet": (alexnet, 224, 1.43),
    "resnet18": (partial(resnet, blocks=(2, 2, 2, 2), bottleneck=False), 224, 3.63),
    "resnet34": (partial(resnet, blocks=(3, 4, 6, 3), bottleneck=False), 224, 7.33),
    "resnet50": (partial(resnet, blocks=(3, 4, 6, 3), bottleneck=True), 224, 8.18),
    "resnet101": (partial(resnet, blocks=(3, 4, 23, 3), bottleneck=True), 224, 15.6),
    "resnet152": (partial(resnet, blocks=(3, 8, 36, 3), bottleneck=True), 224, 23.0),
    "vgg11": (partial(vgg, blocks=(1, 1, 2, 2, 2)), 224, 15.2),
    "vgg13": (partial(vgg, blocks=(2, 2, 2, 2, 2)), 224, 22.6),
    "vgg16": (partial(vgg, blocks=(2, 2, 3, 3, 3)), 224, 30.9),
    "vgg19": (partial(vgg, blocks=(2, 2, 4, 4, 4)), 224, 39.3),
    "squeezenet1_0": (partial(squeezenet, version="1.0"), 224, 1.64),
    "squeezenet1_1": (partial(squeezenet, version="1.1"), 224, 0.70),
    "densenet121": (partial(densenet, blocks=(6, 12, 24, 16)), 224, 5.67),
    "densenet161": (partial(densenet, blocks=(6, 12, 36, 24), growth=48, first=96), 224, 15.5),
    "densenet169": (partial(densenet, blocks=(6, 12, 32, 32)), 224, 6.72),
    "densenet201": (partial(densenet, blocks=(6, 12, 48, 32)), 224, 8.58),
    "mobilenet_v1": (mobilenet_v1, 224, 1.14),
    "mobilenet_v1_0.5": (partial(mobilenet_v1, width=0.5), 160, 0.154),
    "mobilenet_v1_0.25": (partial(mobilenet_v1, width=0.25), 128, 0.0277),
    "mobilenet_v2": (mobilenet_v2, 224, 0.60),
    "mobilenet_v3_small": (partial(mobilenet_v3, large=False), 224, 0.113),
    "mobilenet_v3_large": (partial(mobilenet_v3, large=True), 224, 0.434),
    "mnasnet0_5": (partial(mnasnet, width=0.5), 224, 0.21),
    "mnasnet0_75": (partial(mnasnet, width=0.75), 224, 0.43),
    "mnasnet1_0": (partial(mnasnet, width=1.0), 224, 0.63),
    "mnasnet1_3": (partial(mnasnet, width=1.3), 224, 1.05),
    "shufflenet_v2_x0_5": (partial(shufflenet_v2, widths=(48, 96, 192, 1024)), 224, 0.08),
    "shufflenet_v2_x1_0": (partial(shufflenet_v2, widths=(116, 232, 464, 1024)), 224, 0.29),
    "shufflenet_v2_x1_5": (partial(shufflenet_v2, widths=(176, 352, 704, 1024)), 224, 0.60),
    "shufflenet_v2_x2_0": (partial(shufflenet_v2, widths=(244, 488, 976, 2048)), 224, 1.17),
    "inception_v1": (inception_v1, 224, 3.0),
    "inception_v3": (inception_v3, 299, 11.4),
    "inception_v4": (inception_v4, 299, 24.5),
}
