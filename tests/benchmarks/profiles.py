"""A detector, pictures and labels for tests of profiles, without onnx."""

import json
from pathlib import Path

import cv2
import numpy as np

import edgelane

MODEL = Path(edgelane.__file__).resolve().parent / "runtime" / "models" / "store_person.onnx"


def write_data(folder: Path, count: int = 4) -> Path:
    """A folder of pictures with a COCO file; what is labelled does not matter."""
    images = folder / "pictures"
    images.mkdir(parents=True)
    rng = np.random.RandomState(0)
    coco = {"images": [], "annotations": [], "categories": [{"id": 7, "name": "person"}]}
    for number in range(1, count + 1):
        patches = rng.uniform(0, 255, (12, 16, 3)).astype(np.uint8)
        picture = cv2.resize(patches, (320, 240), interpolation=cv2.INTER_LINEAR)
        name = f"{number:03}.jpg"
        cv2.imwrite(str(images / name), picture)
        coco["images"].append({"id": number, "file_name": name, "width": 320, "height": 240})
        coco["annotations"].append(
            {"id": number, "image_id": number, "category_id": 7, "bbox": [50, 40, 60, 120],
             "area": 7200, "iscrowd": 0}
        )  # fmt: skip
    (folder / "labels.json").write_text(json.dumps(coco))
    return folder
