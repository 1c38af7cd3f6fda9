"""Pictures of parts for teaching: from a folder or a source, each part found and looked at."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np

from ...core import DataError, UsageError
from ...core.verdict import Verdict
from ...pipelines.inspection import Inspection
from ...runtime.config import resolve_path
from ...runtime.inspect.gauges.checks import dark_or_bright
from ...runtime.inspect.judging.conditions import picture_light
from ...runtime.inspect.judging.finding import Look, alone, find_parts, in_light, turned_like
from ...runtime.inspect.judging.inspector import Findings
from ...runtime.inspect.judging.judge import (
    Judged,
    part_colour,
    part_focus,
    whole_look,
)
from ...runtime.inspect.pictures import KINDS, pictures_in, read_picture
from ...runtime.inspect.recipe.config import LoadedRecipe
from ...runtime.sources.base import load_cv2

MOST_SHOWN = 5
MOST_AROUND = 12  # pictures that tell what is fixed around the parts
RIM = 0.01  # of the picture
Tell = Callable[[float, str], None]


@dataclass(frozen=True)
class Sample:
    """One part in a picture.

    Attributes:
        name: Of the picture.
        look: The part, upright.
        picture: The whole picture, `(h, w, 3)` uint8 BGR, where gauges want it; else None.
        size: `(width, height)` of the picture.
        light: Grey level of the ground.
        focus: Sharpness of the part.
        colour: CIE Lab.
        path: Where the picture lies, or None.
        around: `(h, w, 2)` uint8, the picture in grey and where no part is in it; of the first ones
            of a folder.
        travel: Of the first one: `x` or `y`, the way in which parts travel, where they do.
    """

    name: str
    look: Look
    picture: Optional[np.ndarray]
    size: Tuple[int, int]
    light: float
    focus: float
    colour: np.ndarray
    path: Optional[Path] = None
    travel: Optional[str] = None
    around: Optional[np.ndarray] = None


def samples(recipe: LoadedRecipe, place: str, tell: Tell) -> List[Sample]:
    """The parts that a folder of pictures or a source shows.

    Args:
        recipe: Tells how parts are found.
        place: A folder of pictures, or a source such as a video, a camera or `synth://bench`.
        tell: Told how far it is.

    Raises:
        UsageError: There is nothing there.
        DataError: A picture cannot be read or shows no part, more than one, or one that is cut;
            pictures differ in size where that matters, see `any_size`.
    """
    path = Path(resolve_path(place, recipe.folder)) if "://" not in place else None
    if path is not None and (path.is_dir() or path.suffix.lower() in KINDS):
        found = _from_folder(recipe, path, tell)
    elif path is not None and not path.exists():
        raise UsageError(f"there are no pictures at {place}")
    else:
        found = _from_source(recipe, place if path is None else str(path), tell)
    if not found:
        raise DataError(f"{place} shows no part", remedy=_LIGHT)
    sizes = {s.size for s in found}
    if len(sizes) > 1 and not any_size(recipe):
        odd = next(s for s in found if s.size != found[0].size)
        raise _odd_size(odd.name, odd.size, found[0].name, found[0].size)
    return found


def _odd_size(name: str, size: Tuple[int, int], first: str, usual: Tuple[int, int]) -> DataError:
    return DataError(
        f"{name} has another size than {first}",
        got=f"{size[0]} x {size[1]}",
        expected=f"{usual[0]} x {usual[1]}",
        remedy="take all pictures with the camera and the setting that will inspect",
    )


def any_size(recipe: LoadedRecipe) -> bool:
    """Whether pictures may differ in size: each is all of one part, cut out before, and nothing
    is measured in pixels or compared place by place."""
    asked = recipe.settings.checks
    whole = recipe.settings.part.find == "whole"
    return whole and asked.golden is None and asked.gauges is None


def one_size(parts: Sequence[Sample]) -> bool:
    """Whether all pictures have one size."""
    return len({p.size for p in parts}) == 1


_LIGHT = "give parts light unlike the ground's, or say part: {find: whole}"


def _from_folder(recipe: LoadedRecipe, path: Path, tell: Tell) -> List[Sample]:
    files = pictures_in(path)
    found: List[Sample] = []
    faults: List[str] = []
    part = recipe.settings.part
    usual: Optional[Tuple[int, int]] = None
    for number, file in enumerate(files, 1):
        image = read_picture(file)
        tell(number / len(files), f"picture {number} of {len(files)}")
        if part.find == "whole":
            found.append(_sample(recipe, file.name, whole_look(image), image, file))
            continue
        size = (image.shape[1], image.shape[0])
        usual = usual or size
        if size != usual:
            raise _odd_size(file.name, size, files[0].name, usual)
        try:
            looks = find_parts(image, part.least_area)
        except DataError:
            faults.append(f"{file.name} shows no ground around a part")
            continue
        cut = sum(look.cut for look in looks)
        if len(looks) != part.count or cut:
            lost = [f"is {reason.name}" for reason in dark_or_bright(image)]
            seen = "shows a part that the border cuts" if cut else f"shows {len(looks)} parts"
            faults.append(f"{file.name} {lost[0] if lost else seen if looks else 'shows no part'}")
            continue
        parts = [_sample(recipe, file.name, look, image, file) for look in looks]
        if number <= MOST_AROUND and parts:
            parts[0] = replace(parts[0], around=_around(image, looks))
        found += parts
    if faults:
        more = f" and {len(faults) - MOST_SHOWN} more" if len(faults) > MOST_SHOWN else ""
        raise DataError(
            f"{len(faults)} of {len(files)} pictures cannot teach",
            got="; ".join(faults[:MOST_SHOWN]) + more,
            expected=f"{part.count} whole part{'s' * (part.count > 1)} in each",
            remedy="take them again, or leave them out",
        )
    return found


def _around(image: np.ndarray, looks: List[Look]) -> np.ndarray:
    """The picture in grey, and where no part is in it."""
    grey = load_cv2().cvtColor(image, load_cv2().COLOR_BGR2GRAY)
    free = np.full(grey.shape, 255, np.uint8)
    for look in looks:
        room = 0.15 * (look.xyxy[2:] - look.xyxy[:2]) + 4
        x1, y1 = np.maximum(look.xyxy[:2] - room, 0).astype(int)
        x2, y2 = (look.xyxy[2:] + room).astype(int)
        free[y1:y2, x1:x2] = 0
    return np.dstack((grey, free))


def _looks(image: np.ndarray, least_area: float) -> List[Look]:
    try:
        return find_parts(image, least_area)
    except DataError:  # a frame that shows nothing
        return []


def _from_source(recipe: LoadedRecipe, uri: str, tell: Tell) -> List[Sample]:
    """Each part once, when the recipe's trigger would judge it."""
    from ...runtime.secrets import with_secrets
    from ...runtime.sources import open_source

    found: List[Sample] = []
    part = recipe.settings.part
    with open_source(with_secrets(uri), "camera") as source:
        if source.live:
            raise UsageError(
                f"{uri} has no end", remedy="record good parts to a file, or save their pictures"
            )
        settings = recipe.settings
        if settings.by == "input":  # every picture of a recording was triggered
            settings = _by_picture(settings)
        pipeline = Inspection("camera", settings, source.size)
        ends: Dict[int, Tuple[np.ndarray, np.ndarray]] = {}
        recent: Dict[int, Tuple[np.ndarray, List[Look]]] = {}
        last = 0

        def keep(events: Any) -> None:
            for event in events:
                index = event.payload["frame"]
                if event.payload["looks"] == 0 or index not in recent:
                    continue
                image, looks = recent[index]
                box = np.array(event.payload["box"])
                for look in looks:
                    same = len(looks) == 1 or np.abs(look.xyxy - box).max() < 1
                    if same and not look.cut and not _at_rim(look, image):
                        name = f"frame {index}"
                        found.append(_sample(recipe, name, look, image))
                        break

        for frame in source:
            last = frame.index
            if part.find == "whole":
                looks = [whole_look(frame.image)]
            else:
                looks = _looks(frame.image, part.least_area)
            recent[frame.index] = (frame.image, looks)
            for old in [i for i in recent if i < frame.index - 150]:
                del recent[old]
            parts = tuple(Judged(Verdict.of([]), k.xyxy, k.middle, k.length, k.cut) for k in looks)
            keep(pipeline.process(_seen(frame, Findings(parts))))
            tracks = pipeline.tracks()
            if tracks is not None:
                for track, box in zip(tracks.track_id.tolist(), tracks.xyxy):
                    middle = 0.5 * (box[:2] + box[2:]).astype(float)
                    ends[track] = (ends.get(track, (middle, middle))[0], middle)
            if source.frames:
                tell(min((last + 1) / source.frames, 1.0), f"{len(found)} parts")
        keep(pipeline.finish())
    ways = np.array([np.abs(b - a) for a, b in ends.values()]).reshape(-1, 2).sum(axis=0)
    if found and ways.max() > 3 * ways.min() + max(found[0].size):
        found[0] = replace(found[0], travel="xy"[int(ways.argmax())])
    return found


def _at_rim(look: Look, image: np.ndarray) -> bool:
    """Whether a part is so close to the border that it may be hidden by it."""
    if look.image.shape == image.shape:
        return False
    size = np.array([image.shape[1], image.shape[0]])
    rim = RIM * size.max()
    return bool((look.xyxy[:2] < rim).any() or (look.xyxy[2:] > size - rim).any())


def _seen(frame: Any, findings: Findings) -> Any:
    from ...core import Observation

    return Observation(
        "camera", frame.timestamp, findings.detections, frame.size, None, frame.index,
        findings=findings,
    )  # fmt: skip


def _by_picture(settings: Any) -> Any:
    import msgspec

    from ...runtime.inspect.recipe.config import TriggerSettings

    return msgspec.structs.replace(settings, trigger=TriggerSettings(by="picture"))


def _sample(
    recipe: LoadedRecipe, name: str, look: Look, image: np.ndarray, path: Optional[Path] = None
) -> Sample:
    picture = None
    if recipe.settings.checks.gauges is not None:
        picture = alone(image, look) if recipe.settings.by == "arrival" else image
    return Sample(
        name, look, picture, (image.shape[1], image.shape[0]), picture_light(image),
        part_focus(look), part_colour(look), path,
    )  # fmt: skip


def upright_size(parts: List[Sample]) -> Tuple[int, int]:
    """`(width, height)` that holds every part upright, with a margin."""
    return (
        max(s.look.image.shape[1] for s in parts),
        max(s.look.image.shape[0] for s in parts),
    )


def of_size(part: Sample, size: Tuple[int, int]) -> Sample:
    """The sample with its upright picture in the middle of one of this size; the rest is ground,
    or cut off where the part is larger."""
    image, mask, warp = part.look.image, part.look.mask, part.look.warp
    height, width = image.shape[:2]
    if (width, height) == size:
        return part
    cv2 = load_cv2()
    dx, dy = (size[0] - width) / 2, (size[1] - height) / 2
    move = np.array([[1.0, 0, dx], [0, 1, dy]])
    ground = np.median(image[part.look.mask == 0], axis=0) if (mask == 0).any() else image[0, 0]
    moved = cv2.warpAffine(image, move, size, flags=cv2.INTER_LINEAR,
                           borderValue=tuple(float(v) for v in ground))  # fmt: skip
    there = cv2.warpAffine(mask, move, size, flags=cv2.INTER_NEAREST)
    back = np.array([[1.0, 0, -dx], [0, 1, -dy], [0, 0, 1]])
    look = replace(part.look, image=moved, mask=there,
                   warp=(np.vstack((warp, (0, 0, 1))) @ back)[:2])  # fmt: skip
    return replace(part, look=look)


def in_one_light(parts: List[Sample]) -> List[Sample]:
    """Parts on a ground, each as in the light that is usual among them."""
    ground = np.median([p.look.ground for p in parts], axis=0)
    looks = [in_light(p.look, ground) for p in parts]
    return [replace(p, look=k, colour=part_colour(k)) for p, k in zip(parts, looks)]


def turned(part: Sample, golden: np.ndarray) -> Sample:
    """The sample, lying like the golden picture."""
    return replace(part, look=turned_like(part.look, golden))
