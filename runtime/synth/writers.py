"""Scenes into files: video, MOTChallenge rows, COCO annotations."""

import json
import os
from pathlib import Path
from typing import Any, Dict, List, Optional, Union

import numpy as np

from ...core import StorageError, UsageError
from ..mot import shortest
from ..sources.base import load_cv2
from .scene import Scene

PathLike = Union[str, "os.PathLike[str]"]
CODECS = {".mp4": "mp4v", ".avi": "MJPG"}

COCO_POINTS = [
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder",
    "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip",
    "left_knee", "right_knee", "left_ankle", "right_ankle",
]  # fmt: skip
COCO_SKELETON = [
    [16, 14], [14, 12], [17, 15], [15, 13], [12, 13], [6, 12], [7, 13], [6, 7], [6, 8], [7, 9],
    [8, 10], [9, 11], [2, 3], [1, 2], [1, 3], [2, 4], [3, 5], [4, 6], [5, 7],
]  # fmt: skip


def render_to_file(scene: Scene, path: PathLike, frames: Optional[int] = None) -> Path:
    """Render a scene into a video once, so that many cameras can play it cheaply.

    The file stands there only when it is whole.

    Args:
        scene: What to render.
        path: `.mp4` (MPEG-4) or `.avi` (Motion JPEG).
        frames: How many frames; None is all.

    Raises:
        UsageError: The ending is no video's that can be written.
        StorageError: The file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in CODECS:
        raise UsageError(
            f"{path}: cannot write such a video", got=repr(path.suffix), expected=".mp4 or .avi"
        )
    cv2 = load_cv2()
    temporary = path.with_name(f".{path.stem}.part{path.suffix.lower()}")
    code = cv2.VideoWriter_fourcc(*CODECS[path.suffix.lower()])
    writer: Any = None
    try:
        with open(temporary, "wb"):
            pass  # says what is wrong where OpenCV only says that something is
        writer = cv2.VideoWriter(str(temporary), code, scene.fps, scene.size)
        if not writer.isOpened():
            raise StorageError(f"{path} cannot be written", remedy="try .avi, or another folder")
        for index in range(min(frames or scene.frames, scene.frames)):
            writer.write(scene.render(index)[0].image)
        writer.release()
        os.replace(temporary, path)
    except OSError as error:
        raise StorageError(
            f"{path} cannot be written", got=error.strerror, remedy="choose another folder"
        ) from None
    finally:
        if writer is not None:
            writer.release()
        if temporary.exists():
            temporary.unlink()
    return path


def write_mot(scene: Scene, path: PathLike, visible: float = 0.0) -> Path:
    """The truth as MOTChallenge rows (`gt.txt`).

    A row is `frame,id,x,y,w,h,1,1,visibility`: frames from 1, the whole figure cut at the picture.

    Args:
        scene: Any.
        path: The file to write.
        visible: Who is visible to a smaller share is left out.

    Raises:
        StorageError: The file cannot be written.
    """
    rows = []
    for truth in scene.truths():
        for k in np.flatnonzero(truth.visibility >= visible).tolist():
            x1, y1, x2, y2 = truth.xyxy[k].tolist()
            numbers = ",".join(shortest(round(v, 3)) for v in (x1, y1, x2 - x1, y2 - y1))
            share = shortest(float(truth.visibility[k]))
            rows.append(f"{truth.index + 1},{truth.track_id[k]},{numbers},1,1,{share}\n")
    return _write(Path(path), "".join(rows))


def write_coco(
    scene: Scene, folder: PathLike, step: int = 1, visible: float = 0.2, quality: int = 95
) -> Path:
    """Pictures and COCO annotations for training a detector or a pose net.

    Writes `images/000000.jpg`, … and `annotations.json`. Boxes are those of the whole figure; who
    is visible to a smaller share than `visible` is marked `iscrowd`, so that neither finding nor
    missing them counts.

    Args:
        scene: Any.
        folder: Made if it is not there.
        step: Take every so many frames.
        visible: See above; who is not visible at all is left out.
        quality: Of the JPEG files.

    Raises:
        StorageError: The folder cannot be written.
    """
    cv2 = load_cv2()
    folder = Path(folder)
    images: List[Dict[str, Any]] = []
    annotations: List[Dict[str, Any]] = []
    try:
        (folder / "images").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{folder} cannot be made", got=error.strerror) from None
    for index in range(0, scene.frames, step):
        frame, truth = scene.render(index)
        name = f"images/{index:06d}.jpg"
        _, data = cv2.imencode(".jpg", frame.image, [cv2.IMWRITE_JPEG_QUALITY, quality])
        _write(folder / name, data.tobytes())
        width, height = scene.size
        images.append({"id": index, "file_name": name, "width": width, "height": height})
        for k in np.flatnonzero(truth.visibility > 0).tolist():
            x1, y1, x2, y2 = truth.xyxy[k].tolist()
            row = {
                "id": len(annotations) + 1,
                "image_id": index,
                "category_id": int(truth.class_id[k]) + 1,
                "bbox": [round(v, 2) for v in (x1, y1, x2 - x1, y2 - y1)],
                "area": round((x2 - x1) * (y2 - y1), 2),
                "iscrowd": int(truth.visibility[k] < visible),
                "track_id": int(truth.track_id[k]),
                "visibility": float(truth.visibility[k]),
            }
            if hasattr(truth, "keypoints"):
                points = truth.keypoints[k].copy()
                points[points[:, 2] == 0] = 0
                row["keypoints"] = [round(float(v), 2) for v in points.reshape(-1)]
                row["num_keypoints"] = int((points[:, 2] > 0).sum())
            annotations.append(row)
    categories: List[Dict[str, Any]] = []
    for number, name in enumerate(scene.categories, 1):
        categories.append({"id": number, "name": name})
        if name == "person":
            categories[-1].update(keypoints=COCO_POINTS, skeleton=COCO_SKELETON)
    data = {"images": images, "annotations": annotations, "categories": categories}
    return _write(folder / "annotations.json", json.dumps(data))


def _write(path: Path, content: Union[str, bytes]) -> Path:
    temporary = path.with_name(path.name + ".part")
    try:
        if isinstance(content, str):
            temporary.write_text(content, encoding="utf-8")
        else:
            temporary.write_bytes(content)
        os.replace(temporary, path)
    except OSError as error:
        raise StorageError(f"{path} cannot be written", got=error.strerror) from None
    return path
