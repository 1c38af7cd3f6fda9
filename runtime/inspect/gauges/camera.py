"""A camera calibrated for measuring: lens, plane of the parts, pixels to millimetres and back.

Zhang, "A flexible new technique for camera calibration" (2000), through OpenCV; Brown's lens.
"""

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, List, Optional, Sequence, Tuple, Union

import numpy as np

from ....core import DataError, UsageError, did_you_mean
from ...files import write_whole
from ...sources.base import load_cv2
from ..pictures import pictures_in, read_picture

LEAST_VIEWS = 3
FORMAT = "edgelane camera 1"


@dataclass(frozen=True)
class Board:
    """The printed board.

    Attributes:
        kind: `chessboard` or `charuco`.
        columns: Squares from left to right.
        rows: Squares from top to bottom.
        square_mm: Side of a square as measured on the print.
        marker_mm: Side of a marker of a ChArUco board; 0.75 of a square unless given.
        dictionary: OpenCV's name of the markers, e.g. `4X4_50`.
    """

    kind: str
    columns: int
    rows: int
    square_mm: float
    marker_mm: Optional[float] = None
    dictionary: str = "4X4_50"

    def __post_init__(self) -> None:
        if self.kind not in ("chessboard", "charuco"):
            known = ("chessboard", "charuco")
            raise UsageError(f"unknown board {self.kind!r}", remedy=did_you_mean(self.kind, known))
        if min(self.columns, self.rows) < 3 or not self.square_mm > 0:
            raise UsageError(
                "a board has at least 3 x 3 squares with a side in millimetres",
                got=f"{self.columns} x {self.rows} squares of {self.square_mm} mm",
            )

    def aruco(self, cv2: Any) -> Any:
        """OpenCV's own ChArUco board."""
        name = f"DICT_{self.dictionary}"
        if not hasattr(cv2.aruco, name):
            known = [n[5:] for n in dir(cv2.aruco) if n.startswith("DICT_")]
            raise UsageError(
                f"no dictionary {self.dictionary!r}", remedy=did_you_mean(self.dictionary, known)
            )
        marker = self.marker_mm or 0.75 * self.square_mm
        markers = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, name))
        size = (self.columns, self.rows)
        return cv2.aruco.CharucoBoard(size, self.square_mm, marker, markers)

    def find(self, image: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
        """Corners of the board in a picture.

        Args:
            image: `(h, w, 3)` uint8 BGR.

        Returns:
            `(n, 2)` float64 millimetres on the board and `(n, 2)` pixels; none where it is absent.
        """
        cv2 = load_cv2()
        grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        if self.kind == "charuco":
            board = self.aruco(cv2)
            corners, ids = cv2.aruco.CharucoDetector(board).detectBoard(grey)[:2]
            if ids is None or len(ids) < 6:
                return np.zeros((0, 2)), np.zeros((0, 2))
            # No further than the white around the markers.
            white = 0.5 * (1 - (self.marker_mm or 0.75 * self.square_mm) / self.square_mm)
            pixels = _sharpen(cv2, grey, corners, min(0.9 * white, 0.3))
            at = np.asarray(board.getChessboardCorners())[np.asarray(ids).ravel(), :2]
            return at.astype(float), pixels.reshape(-1, 2).astype(float)
        size = (self.columns - 1, self.rows - 1)
        flags = cv2.CALIB_CB_ACCURACY | cv2.CALIB_CB_EXHAUSTIVE | cv2.CALIB_CB_NORMALIZE_IMAGE
        found, corners = cv2.findChessboardCornersSB(grey, size, flags=flags)
        if not found:
            return np.zeros((0, 2)), np.zeros((0, 2))
        corners = _sharpen(cv2, grey, corners, 0.3)
        y, x = np.mgrid[1 : self.rows, 1 : self.columns]
        at = np.stack((x.ravel(), y.ravel()), axis=1) * self.square_mm
        return at.astype(float), corners.reshape(-1, 2).astype(float)


def _sharpen(cv2: Any, grey: np.ndarray, corners: np.ndarray, share: float) -> np.ndarray:
    """Corners to a small part of a pixel, from a share of a square around them."""
    points = corners.reshape(-1, 2).astype(np.float32)
    apart = np.hypot(*(points[:, None] - points[None]).transpose(2, 0, 1))
    np.fill_diagonal(apart, np.inf)
    half = int(np.clip(share * float(np.median(apart.min(axis=1))), 2, 15))
    stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 60, 1e-4)
    return cv2.cornerSubPix(grey, points.reshape(-1, 1, 2).copy(), (half, half), (-1, -1), stop)


@dataclass(frozen=True)
class Camera:
    """A calibrated camera above the plane on which the board lay in one picture.

    Attributes:
        size: `(width, height)` of its pictures.
        matrix: `(3, 3)` float64, pixels.
        distortion: `(5,)` float64: k1, k2, p1, p2, k3.
        rotation: `(3,)` float64 rotation vector of the plane.
        translation: `(3,)` float64 millimetres.
        rms: Pixels by which corners miss, root mean square.
        scale_uncertainty: Share by which lengths on the plane may be wrong, 95 %.
        views: How many pictures showed the board.
        place_uncertainty: Millimetres by which places on the plane may be wrong along one axis,
            95 %: what the lens model leaves, smooth over neighbouring corners.
        blur: Pixels by which the board's own edges are blurred, standard deviation; 0 where it is
            not known. An edge of a part that is softer hides a rim.
    """

    size: Tuple[int, int]
    matrix: np.ndarray
    distortion: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray
    rms: float = 0.0
    scale_uncertainty: float = 0.0
    views: int = 0
    place_uncertainty: float = 0.0
    blur: float = 0.0

    def _pose(self) -> np.ndarray:
        return load_cv2().Rodrigues(np.asarray(self.rotation, float))[0]

    def to_mm(self, pixels: Any, height: float = 0.0) -> np.ndarray:
        """Millimetres `(n, 2)` on the plane of pixels `(n, 2)`.

        Args:
            pixels: Places in the picture.
            height: Millimetres by which the measured edges lie above the board's plane, towards
                the camera: the thickness of the part, for its upper rim.
        """
        pixels = np.asarray(pixels, np.float64).reshape(-1, 2)
        rays = np.concatenate((self._straight(pixels), np.ones((len(pixels), 1))), axis=1)
        turn = self._pose()
        origin = -turn.T @ self.translation  # of the camera, in the board's millimetres
        rays = rays @ turn
        toward = np.sign(origin[2]) * height
        along = (toward - origin[2]) / rays[:, 2]
        return origin[:2] + along[:, None] * rays[:, :2]

    def to_pixels(self, mm: Any, height: float = 0.0) -> np.ndarray:
        """Pixels `(n, 2)` of places `(n, 2)` on the plane in millimetres; as `to_mm`."""
        cv2 = load_cv2()
        mm = np.asarray(mm, np.float64).reshape(-1, 2)
        toward = np.sign((-self._pose().T @ self.translation)[2]) * height
        places = np.concatenate((mm, np.full((len(mm), 1), toward)), axis=1)
        if not len(places):
            return np.zeros((0, 2))
        pose = np.asarray(self.rotation, float), np.asarray(self.translation, float)
        return cv2.projectPoints(places, *pose, self.matrix, self.distortion)[0].reshape(-1, 2)

    def _straight(self, pixels: np.ndarray) -> np.ndarray:
        """Directions `(n, 2)` as without a lens, by Newton's steps on Brown's formula."""
        k1, k2, p1, p2, k3 = self.distortion
        y = (pixels[:, 1] - self.matrix[1, 2]) / self.matrix[1, 1]
        x = (pixels[:, 0] - self.matrix[0, 2] - self.matrix[0, 1] * y) / self.matrix[0, 0]
        goal_x, goal_y = x, y
        for _ in range(20):
            square = x * x + y * y
            radial = 1 + square * (k1 + square * (k2 + square * k3))
            slope = k1 + square * (2 * k2 + square * 3 * k3)
            miss_x = x * radial + 2 * p1 * x * y + p2 * (square + 2 * x * x) - goal_x
            miss_y = y * radial + p1 * (square + 2 * y * y) + 2 * p2 * x * y - goal_y
            xx = radial + 2 * x * x * slope + 2 * p1 * y + 6 * p2 * x
            xy = 2 * x * y * slope + 2 * p1 * x + 2 * p2 * y
            yy = radial + 2 * y * y * slope + 6 * p1 * y + 2 * p2 * x
            over = xx * yy - xy * xy
            over = np.where(np.abs(over) < 1e-6, 1e-6, over)
            x = x - (yy * miss_x - xy * miss_y) / over
            y = y - (xx * miss_y - xy * miss_x) / over
            if max(np.abs(miss_x).max(initial=0), np.abs(miss_y).max(initial=0)) < 1e-11:
                break
        return np.stack((x, y), axis=1)

    def mm_per_pixel(self, pixel: Any, height: float = 0.0) -> float:
        """Millimetres on the plane for a step of one pixel, on average over directions."""
        at = np.asarray(pixel, float).reshape(2)
        steps = self.to_mm(at + np.array([[0.5, 0], [-0.5, 0], [0, 0.5], [0, -0.5]]), height)
        jacobian = np.stack((steps[0] - steps[1], steps[2] - steps[3]))
        return float(np.sqrt(abs(np.linalg.det(jacobian))))

    @property
    def id(self) -> str:
        """Twelve hexadecimal digits of what it is, so that a recipe knows its camera."""
        numbers = np.concatenate(
            [np.asarray(v, float).ravel() for v in (self.size, self.matrix, self.distortion,
                                                    self.rotation, self.translation)]
        )  # fmt: skip
        text = " ".join(f"{v:.9g}" for v in numbers)
        return hashlib.sha256(text.encode("ascii")).hexdigest()[:12]

    def save(self, path: Union[str, Path]) -> None:
        """Write it as JSON; raises StorageError."""
        content = {
            "format": FORMAT, "size": list(self.size), "matrix": self.matrix.tolist(),
            "distortion": self.distortion.tolist(), "rotation": self.rotation.tolist(),
            "translation": self.translation.tolist(), "rms": self.rms,
            "scale_uncertainty": self.scale_uncertainty, "views": self.views,
            "place_uncertainty": self.place_uncertainty, "blur": self.blur,
        }  # fmt: skip
        write_whole(Path(path), (json.dumps(content, indent=1) + "\n").encode("utf-8"))

    @classmethod
    def load(cls, path: Union[str, Path]) -> "Camera":
        """Read what `save` wrote.

        Raises:
            DataError: It cannot be read or is no camera.
        """
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            if content["format"] != FORMAT:
                raise ValueError(content["format"])
            arrays = {
                key: np.array(content[key], float)
                for key in ("matrix", "distortion", "rotation", "translation")
            }
            shapes = [a.shape for a in arrays.values()]
            if shapes != [(3, 3), (5,), (3,), (3,)]:
                raise ValueError(shapes)
            width, height = (int(v) for v in content["size"])
            return cls(
                (width, height), **arrays, rms=float(content["rms"]),
                scale_uncertainty=float(content["scale_uncertainty"]), views=int(content["views"]),
                place_uncertainty=float(content["place_uncertainty"]),
                blur=float(content.get("blur", 0.0)),
            )  # fmt: skip
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{path} is no calibrated camera",
                got=f"{type(error).__name__}: {error}",
                remedy="edgelane calibrate-camera writes one",
            ) from None


def calibrate_camera(
    pictures: Union[str, Path, Sequence[np.ndarray]],
    board: Board,
    plane: Optional[Union[str, Path, np.ndarray]] = None,
) -> Camera:
    """A camera from pictures of a board, tilted a little differently in each.

    Args:
        pictures: A folder, or `(h, w, 3)` uint8 BGR pictures.
        board: What was printed.
        plane: The picture in which the board lies where the parts will lie; the last picture that
            shows the board unless given.

    Raises:
        DataError: Too few pictures show the board, they differ in size, or corners miss by more
            than a pixel.
    """
    cv2 = load_cv2()
    names: List[str] = []
    if isinstance(pictures, (str, Path)):
        paths = pictures_in(Path(pictures))
        images = [read_picture(p) for p in paths]
        names = [p.name for p in paths]
    else:
        images = list(pictures)
        names = [f"picture {k}" for k in range(1, len(images) + 1)]
    ground = read_picture(Path(plane)) if isinstance(plane, (str, Path)) else plane
    if ground is not None:
        images.append(ground)
        names.append("the picture of the plane")
    if not images:
        raise DataError("there are no pictures to calibrate from")
    size = (images[0].shape[1], images[0].shape[0])
    places, seen, shown = [], [], images[-1]
    for name, image in zip(names, images):
        if (image.shape[1], image.shape[0]) != size:
            raise DataError(
                f"{name} has another size than {names[0]}",
                got=f"{image.shape[1]} x {image.shape[0]}",
                expected=f"{size[0]} x {size[1]}",
            )
        at, pixels = board.find(image)
        if len(at) >= 6:
            places.append(np.concatenate((at, np.zeros((len(at), 1))), 1).astype(np.float32))
            seen.append(pixels.astype(np.float32).reshape(-1, 1, 2))
            shown = image
        elif ground is not None and image is ground:
            raise DataError(f"{name} does not show the board", remedy=_LOOK)
    if len(places) < LEAST_VIEWS:
        raise DataError(
            f"the board is found in {len(places)} of {len(images)} pictures",
            expected=f"at least {LEAST_VIEWS}, better 10",
            remedy=_LOOK,
        )
    while True:
        found = cv2.calibrateCameraExtended(places, seen, size, None, None)
        rms, matrix, lens, turns, shifts = found[:5]
        views = np.asarray(found[-1]).ravel()
        worst = int(views[:-1].argmax())
        # A board that is half out of view may be found in the wrong place; the plane must stay.
        if views[worst] < max(3 * float(np.median(views)), 0.3) or len(places) <= LEAST_VIEWS:
            break
        del places[worst], seen[worst]
    if not np.isfinite(rms) or rms > 1.0:
        raise DataError(
            "the corners of the board miss by too much",
            got=f"{rms:.2f} px",
            expected="less than 1 px",
            remedy="use a stiff flat board, sharp pictures, and the board's true size",
        )
    camera = Camera(
        size, matrix, lens.ravel()[:5], turns[-1].ravel(), shifts[-1].ravel(), float(rms),
        0.0, len(places),
    )  # fmt: skip
    # How well the plane's own corners fix its scale: a similarity laid over what they miss by.
    at = places[-1][:, :2].astype(float)
    miss = camera.to_mm(seen[-1].reshape(-1, 2)) - at
    from_middle = at - at.mean(axis=0)
    spread = float(np.sqrt((miss**2).sum() / max(2 * len(at) - 8, 1)))
    scale = 2 * spread / float(np.sqrt((from_middle**2).sum()))
    # What single corners miss by is mostly noise; what neighbours share is the model's fault.
    apart = ((at[:, None] - at[None]) ** 2).sum(axis=2)
    weight = np.exp(-0.5 * apart / board.square_mm**2)
    shared = weight @ miss / weight.sum(axis=1, keepdims=True)
    place = 2 * float(np.sqrt((shared**2).mean()))
    blur = _blur(cv2, shown, at, seen[-1].reshape(-1, 2), board.square_mm)
    return replace(camera, scale_uncertainty=scale, place_uncertainty=place, blur=blur)


def _blur(cv2: Any, image: np.ndarray, at: np.ndarray, pixels: np.ndarray, square: float) -> float:
    """Pixels by which the edges between neighbouring corners are blurred; 0 where none is seen."""
    from .edges import find_edges

    apart = at[None] - at[:, None]
    one, two = np.nonzero(np.abs(np.hypot(apart[..., 0], apart[..., 1]) - square) < 0.01 * square)
    along = pixels[two] - pixels[one]
    length = np.linalg.norm(along, axis=1, keepdims=True)
    normal = np.stack((along[:, 1], -along[:, 0]), axis=1) / np.maximum(length, 1e-9)
    middle = 0.5 * (pixels[one] + pixels[two])
    if not len(middle) or float(np.median(length)) < 12:
        return 0.0
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) if image.ndim == 3 else image
    blur = find_edges(grey.astype(np.float32), middle, normal, 2.0).blur
    return float(np.nanmedian(blur)) if np.isfinite(blur).sum() >= 8 else 0.0


_LOOK = (
    "count the squares (not the inner corners), keep the whole board in view, sharp and without "
    "glare"
)
