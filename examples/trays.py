"""A classifier made from nothing: pictures of clean and dirty trays, a small net, a video.

    python examples/trays.py

writes the pictures to `trays/clean` and `trays/dirty`, the net to `tray.onnx` and the video to
`trays.mp4`. The net is a layer of fixed filters whose answers are averaged over the picture, and a
linear layer on top, which is learnt; so it also tells where it saw the dirt.
"""

from pathlib import Path

import cv2
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgelane.core import InputSpec, ModelCard
from edgelane.core.card import METADATA_KEY
from edgelane.runtime.classify import load_classifier

CLASSES = ("clean", "dirty")
SIZE = (96, 72)
FILTERS = 24


def tray(draw: np.random.Generator, dirty: bool) -> np.ndarray:
    """A steel tray under changing light, `(240, 320, 3)` uint8 BGR; dirt is a few dark blots."""
    image = np.full((240, 320, 3), 60.0)
    cv2.rectangle(image, (20, 20), (300, 220), (175, 178, 180), -1)
    cv2.rectangle(image, (20, 20), (300, 220), (120, 122, 125), 5)
    image *= np.linspace(draw.uniform(0.7, 1.1), draw.uniform(0.7, 1.1), 320)[None, :, None]
    for _ in range(draw.integers(2, 6) if dirty else 0):
        place = (int(draw.integers(50, 270)), int(draw.integers(50, 190)))
        axes = (int(draw.integers(8, 22)), int(draw.integers(6, 16)))
        colour = tuple(draw.uniform(25, 75, 3))
        cv2.ellipse(image, place, axes, float(draw.uniform(0, 180)), 0, 360, colour, -1)
    image = cv2.GaussianBlur(image, (0, 0), 1.2)
    image += draw.normal(0, draw.uniform(0, 6), image.shape) + draw.uniform(-12, 12)
    return np.clip(image, 0, 255).astype(np.uint8)


def write_net(
    path: str, filters: np.ndarray, offsets: np.ndarray, weight: np.ndarray, bias: np.ndarray
) -> str:
    """Filters, rectified; their average over the picture; a linear layer; softmax."""
    constants = {"filters": filters, "offsets": offsets, "weight": weight, "bias": bias}
    node = helper.make_node
    nodes = [
        node("Conv", ["picture", "filters", "offsets"], ["edges"], strides=[2, 2]),
        node("Relu", ["edges"], ["features"]),
        node("GlobalAveragePool", ["features"], ["mean"]),
        node("Flatten", ["mean"], ["flat"]),
        node("Gemm", ["flat", "weight", "bias"], ["numbers"], transB=1),
        node("Softmax", ["numbers"], ["scores"], axis=1),
    ]
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "trays",
        [info("picture", TensorProto.FLOAT, ["n", 3, SIZE[1], SIZE[0]])],
        [info("scores", TensorProto.FLOAT, ["n", len(CLASSES)])],
        [numpy_helper.from_array(v.astype(np.float32), k) for k, v in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    spec = InputSpec(SIZE, colour="bgr", mean=(0.5, 0.5, 0.5), resize="stretch")
    card = ModelCard("classify", "softmax", spec, CLASSES, nms_iou=None, licence="CC0-1.0")
    model.metadata_props.add(key=METADATA_KEY, value=card.to_json())
    onnx.save(model, path)
    return path


def learn(images: list, labels: np.ndarray, path: str) -> str:
    """Softmax regression on the filters' averages, by gradient descent."""
    draw = np.random.default_rng(0)
    # How dark a place is, in steps, and where that changes.
    filters = draw.normal(0, 0.4, (FILTERS, 3, 5, 5))
    filters -= filters.mean(axis=(1, 2, 3), keepdims=True)
    filters[: FILTERS // 2] = -1 / 75
    offsets = np.zeros(FILTERS)
    offsets[: FILTERS // 2] = np.linspace(-0.3, 0.3, FILTERS // 2)
    tensors = np.stack([cv2.resize(i, SIZE, interpolation=cv2.INTER_AREA) for i in images])
    tensors = tensors.transpose(0, 3, 1, 2) / 255.0 - 0.5
    windows = np.lib.stride_tricks.sliding_window_view(tensors, (5, 5), axis=(2, 3))
    windows = windows[:, :, ::2, ::2]
    answers = np.einsum("nchwij,fcij->nfhw", windows, filters) + offsets[:, None, None]
    features = np.maximum(answers, 0).mean(axis=(2, 3))
    middle, spread = features.mean(axis=0), features.std(axis=0) + 1e-6
    given = (features - middle) / spread
    weight, bias, truth = np.zeros((2, FILTERS)), np.zeros(2), np.eye(2)[labels]
    for _ in range(2000):
        numbers = given @ weight.T + bias
        share = np.exp(numbers - numbers.max(axis=1, keepdims=True))
        wrong = (share / share.sum(axis=1, keepdims=True) - truth) / len(given)
        weight -= 1.0 * (wrong.T @ given + 3e-3 * weight)
        bias -= 1.0 * wrong.sum(axis=0)
    scaled = weight / spread
    return write_net(path, filters, offsets, scaled, bias - scaled @ middle)


def main() -> None:
    draw = np.random.default_rng(7)
    labels = np.arange(300) % 2
    learn([tray(draw, bool(k)) for k in labels], labels, "tray.onnx")
    right = 0
    with load_classifier("tray.onnx") as model:
        for k, name in enumerate(CLASSES):
            Path("trays", name).mkdir(parents=True, exist_ok=True)
            for i in range(12):
                image = tray(draw, bool(k))
                cv2.imwrite(str(Path("trays", name, f"{i:02}.jpg")), image)
                right += int(model(image).argmax()) == k
    print(f"tray.onnx is right on {right} of 24 new pictures")
    writer = cv2.VideoWriter("trays.mp4", cv2.VideoWriter_fourcc(*"mp4v"), 10, (320, 240))
    for dirty in (False, True, False):
        still = tray(draw, dirty)
        for _ in range(30):
            noise = draw.normal(0, 1, still.shape)
            writer.write(np.clip(still + noise, 0, 255).astype(np.uint8))
    writer.release()


if __name__ == "__main__":
    main()
