"""The main job on what ships in the package: a rendered store, and a detector trained on it."""

from pathlib import Path
from typing import Any, Dict, Optional, Tuple

from .composition import run
from .folder import PathLike, Summary

FPS = 15
SCENE = {"fps": FPS, "size": "640x360"}
# The detector's usual confidence is for finding people. Whom it finds so surely is one at once, the
# first time as well: no furniture looks like people to it in these stores.
CONFIDENCE = 0.45
TRACKER = {"birth_ratio": 0.7}
# Before and after the end of the film nobody crosses a line for so long.
BEFORE_S, AFTER_S = 1.2, 0.6


def demo(
    *,
    seed: int = 1,
    seconds: float = 60.0,
    people: int = 8,
    room: str = "wide",
    out: Optional[PathLike] = None,
    video: Optional[PathLike] = None,
    progress: bool = False,
) -> Tuple[Summary, Path]:
    """Render a store, count its people, and hold the counts beside the truth.

    Args:
        seed: Of the store and its people.
        seconds: How long a time of the store's is counted. The film goes on for some seconds until
            nobody is about to cross a line, or whoever does so in the last frame could be told to
            have crossed as well as not.
        people: About how many there are at a time, with those who pass outside.
        room: `wide`, a camera as one would hang it to count, or `narrow`, one that sees little of
            the floor at the door, as it may be found in a store.
        out: Folder of the run; `runs/demo` unless given. What a run wrote there is replaced.
        video: File for the annotated video.
        progress: Tell rate and time left on stderr.

    Returns:
        `counted` and `truth` (`in` and `out` by line), `zones` and `visitors` likewise, `errors`
        (crossings too many or too few), `crossings` (true ones) and `seconds` of the film; and the
        folder.

    Raises:
        UsageError: Seed, seconds, people or room are impossible.
        StorageError: The folder cannot be written.
    """
    from ...runtime.synth import open_scene, truth_counts

    open_scene("store", seconds=seconds)  # refused as it was given, before anything is added to it
    parameters = {"seed": seed, "people": people, "room": room, **SCENE}
    parameters["seconds"] = quiet_end(parameters, seconds)
    scene = open_scene("store", **parameters)
    config: Dict[str, Any] = {
        "pipeline": "counting",
        "model": "store-person",
        "classes": ["person"],
        "confidence": CONFIDENCE,
        "tracker": TRACKER,
        "source": "synth://store?" + "&".join(f"{k}={v}" for k, v in parameters.items()),
        **scene.layout.config(),
    }
    folder = Path("runs/demo") if out is None else Path(out)
    summary, folder = run(config, out=folder, video=video, overwrite=True, progress=progress)
    truth = truth_counts(scene)
    counted = summary["lines"]
    errors = sum(
        abs(counted[name][way] - count)
        for name, ways in truth.lines.items()
        for way, count in ways.items()
    )
    return {
        "counted": counted,
        "truth": truth.lines,
        "errors": errors,
        "crossings": truth.crossings,
        "seconds": round(scene.duration, 3),
        "zones": {
            name: {"counted": summary["zones"][name]["entries"], "truth": facts["entries"]}
            for name, facts in truth.zones.items()
        },
        "visitors": {"counted": summary["visitors"], "truth": truth.visitors},
        "fps": summary["fps"],
    }, folder


def quiet_end(parameters: Dict[str, Any], seconds: float, most: float = 10.0) -> float:
    """The first moment from `seconds` on around which nobody crosses a line.

    Args:
        parameters: Of the store, but for its `seconds`.
        seconds: The earliest end.
        most: How many seconds later the end may be.

    Returns:
        Seconds; `seconds` itself where there is no such moment.
    """
    from ...runtime.synth import open_scene

    scene: Any = open_scene("store", **{**parameters, "seconds": seconds + most + AFTER_S})
    times = [crossing.time for crossing in scene.crossings]
    for k in range(int(most * FPS)):
        end = seconds + k / FPS
        if not any(-BEFORE_S < time - end < AFTER_S for time in times):
            return end
    return seconds
