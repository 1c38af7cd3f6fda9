"""Labelled poses, how right a net is on them, and their crops as a net's input."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple, Union

import numpy as np

from ...core import DataError
from ...runtime.pose import PoseModel, load_pose, pose_score
from ...runtime.sources.base import load_cv2
from .dataset import Dataset, Picture, load_coco
from .evaluation import Evaluation
from .oks import PoseFound, PoseTruth, pck, score_poses

PathLike = Union[str, Path]
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")


@dataclass(frozen=True)
class PosePicture:
    """One picture with labelled poses; nothing is read until `read` is called.

    Attributes:
        name: Its id, or the name of its file without the ending.
        path: Its file.
        load: Gives the picture `(h, w, 3)` uint8 BGR and the labels in its pixels.
    """

    name: str
    path: Path
    load: Callable[[], Tuple[np.ndarray, PoseTruth]]

    def read(self) -> Tuple[np.ndarray, PoseTruth]:
        """The picture and its labels.

        Raises:
            DataError: The picture or its labels cannot be read or make no sense.
        """
        return self.load()


def load_poses(images: PathLike, labels: PathLike, points: int = 17) -> Tuple[PosePicture, ...]:
    """Labelled poses from a folder of text files or a COCO file of key points.

    Args:
        images: Folder of the pictures.
        labels: A COCO JSON with `keypoints`; or a folder with a text file for each picture, whose
            lines hold `class cx cy w h` and then `x y v` for each point, as shares of the
            picture's width and height. Pictures without a file are left out.
        points: How many points a pose has.

    Returns:
        Pictures sorted by file name, or by id.

    Raises:
        DataError: A folder or file is missing, or there is nothing in them that fits together.
    """
    folder, source = Path(images), Path(labels)
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}", expected="the labelled pictures")
    if not source.exists():
        raise DataError(f"there are no labels {source}", expected="a folder or a COCO JSON")
    if not source.is_dir():
        return poses_of(load_coco(source, folder), points)
    found = []
    for path in sorted(folder.iterdir()):
        text = source / f"{path.stem}.txt"
        if path.suffix.lower() in SUFFIXES and text.is_file():
            found.append(PosePicture(path.stem, path, _text_loader(path, text, points)))
    if not found:
        raise DataError(
            f"no picture in {folder} has its labels in {source}",
            expected="a .txt of the same name as the picture",
        )
    return tuple(found)


def poses_of(dataset: Dataset, points: int = 17) -> Tuple[PosePicture, ...]:
    """The labelled poses of a COCO dataset; its pictures in its order."""
    return tuple(
        PosePicture(str(p.id), p.path, _coco_loader(p, dataset.name, points))
        for p in dataset.pictures
    )


def _text_loader(path: Path, text: Path, points: int) -> Callable[[], Tuple[np.ndarray, PoseTruth]]:
    def load() -> Tuple[np.ndarray, PoseTruth]:
        image = load_cv2().imread(str(path))
        if image is None:
            raise DataError(f"{path} cannot be read as an image")
        return image, read_pose_text(text, (image.shape[1], image.shape[0]), points)

    return load


def read_pose_text(path: PathLike, size: Tuple[int, int], points: int = 17) -> PoseTruth:
    """The poses of a text file, see `load_poses`.

    Args:
        path: The file; an empty one has no poses.
        size: `(width, height)` of the picture in pixels.
        points: How many points a pose has.

    Raises:
        DataError: A line that is not of that many numbers; it is named.
    """
    rows: List[List[float]] = []
    expected = f"{5 + 3 * points} numbers: class, box, and x y v for {points} points"
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read", got=str(error)) from None
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words:
            continue
        try:
            row = [float(word) for word in words]
        except ValueError:
            raise DataError(
                f"{path} line {number} is not made of numbers", got=line[:60], expected=expected
            ) from None
        if len(row) != 5 + 3 * points or not np.isfinite(row).all():
            raise DataError(
                f"{path} line {number} is no labelled pose",
                got=f"{len(row)} numbers" + ("" if np.isfinite(row).all() else ", some not finite"),
                expected=expected,
            )
        rows.append(row)
    table = np.asarray(rows, np.float64).reshape(-1, 5 + 3 * points)
    centre, half = table[:, 1:3] * size, 0.5 * table[:, 3:5] * size
    keypoints = table[:, 5:].reshape(-1, points, 3) * [*size, 1.0]
    return PoseTruth(keypoints, np.concatenate((centre - half, centre + half), axis=1))


def _coco_loader(
    picture: Picture, source: str, points: int
) -> Callable[[], Tuple[np.ndarray, PoseTruth]]:
    def load() -> Tuple[np.ndarray, PoseTruth]:
        return picture.read(), _coco_truth(picture, source, points)

    return load


def _coco_truth(picture: Picture, source: str, points: int) -> PoseTruth:
    labelled = [a for a in picture.annotations if a.get("keypoints") is not None]
    keypoints = np.zeros((len(labelled), points, 3))
    boxes = np.zeros((len(labelled), 4))
    area = np.zeros(len(labelled))
    for row, annotation in enumerate(labelled):
        values = np.asarray(annotation["keypoints"], np.float64)
        box = annotation.get("bbox")
        if values.shape != (3 * points,) or not np.isfinite(values).all() or box is None:
            raise DataError(
                f"{source}: annotation {annotation.get('id')} is no labelled pose",
                got=f"{values.size} numbers" + ("" if box is not None else " and no bbox"),
                expected=f"{3 * points} numbers, x y v for {points} points, and a bbox",
            )
        keypoints[row] = values.reshape(points, 3)
        boxes[row] = [box[0], box[1], box[0] + box[2], box[1] + box[3]]
        area[row] = annotation.get("area", 0.53 * box[2] * box[3])
    crowd = np.array([bool(a.get("iscrowd")) for a in labelled], bool)
    return PoseTruth(keypoints, boxes, area, crowd)


def _solid(truth: PoseTruth) -> np.ndarray:
    """`(n,)` bool: poses whose box has an area, so that a crop can be cut around it."""
    return np.all(truth.xyxy[:, 2:] > truth.xyxy[:, :2], axis=1)


def pose_crops(
    images: PathLike, labels: PathLike, model: PoseModel, limit: Optional[int] = None
) -> Iterator[Dict[str, np.ndarray]]:
    """The crops around labelled boxes, as the net is fed with them: what to calibrate it on.

    Args:
        images: Folder of pictures.
        labels: See `load_poses`.
        model: The net, which says how crops are cut and what its input is called.
        limit: How many crops at most.

    Yields:
        One crop at a time: the input's name with a `(1, 3, h, w)` array (`(1, h, w, 3)` by the
        card's layout), normalised, float32 unless the graph takes another type.

    Raises:
        DataError: As `load_poses` and `PosePicture.read`.
    """
    given = 0
    for picture in load_poses(images, labels, len(model.skeleton)):
        image, truth = picture.read()
        tensor, _ = model.preprocess(image, truth.xyxy[_solid(truth) & ~np.asarray(truth.crowd)])
        for row in range(len(tensor)):
            if limit is not None and given >= limit:
                return
            given += 1
            yield {model.input_name: tensor[row : row + 1]}


def evaluate_poses(
    model: Union[PathLike, PoseModel],
    pictures: Union[Dataset, Sequence[PosePicture]],
    threads: Optional[int] = None,
    progress: Optional[Callable[[int, int], None]] = None,
    options: Optional[Dict[str, Any]] = None,
) -> Evaluation:
    """Judge a net where the boxes are given.

    Args:
        model: ONNX file, or a `PoseModel`.
        pictures: A COCO dataset of key points, or what `load_poses` gives.
        threads: Threads for one run of a model that is loaded here.
        progress: Called with the number of pictures done and all.
        options: As for `load_pose`, for a model that is loaded here.

    Returns:
        What `score_poses` gives, and `PCK` at a fifth of the box's longer side.

    Raises:
        DataError: A picture or its labels cannot be read, none is labelled, or the skeleton has
            no sigmas.
        ModelError: The model cannot be loaded.
    """
    if not isinstance(model, PoseModel):
        with load_pose(model, threads=threads, **(options or {})) as loaded:
            return evaluate_poses(loaded, pictures, progress=progress)
    sigmas = model.skeleton.sigmas
    if not sigmas:
        raise DataError(
            "the skeleton has no sigmas, and OKS measures with them",
            remedy="put skeleton.sigmas into the model's card",
        )
    notes: Tuple[str, ...] = ()
    if isinstance(pictures, Dataset):
        notes = pictures.notes()
        pictures = poses_of(pictures, len(model.skeleton))
    truths: List[PoseTruth] = []
    found: List[PoseFound] = []
    for number, picture in enumerate(pictures, 1):
        image, truth = picture.read()
        truth = truth.select(_solid(truth))
        poses = model(image, truth.xyxy)
        truths.append(truth)
        found.append(PoseFound(poses, pose_score(poses)))
        if progress:
            progress(number, len(pictures))
    if all(truth.ignored.all() for truth in truths):
        raise DataError("no picture has a labelled pose", got=f"{len(truths)} pictures")
    names = [picture.name for picture in pictures]
    evaluation = score_poses(truths, found, sigmas, names, notes)
    evaluation.scores["PCK"] = pck(truths, found)["pck"]
    return evaluation
