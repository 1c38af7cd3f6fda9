"""The main job on what ships in the package: a rendered store, and a detector trained on it."""

from pathlib import Path
from typing import Any, Dict, Optional, Tuple

from .composition import run
from .folder import PathLike, Summary

SCENE = {"people": 12, "fps": 15, "size": "640x360"}


def demo(
    *,
    seed: int = 1,
    seconds: float = 60.0,
    out: Optional[PathLike] = None,
    video: Optional[PathLike] = None,
    progress: bool = False,
) -> Tuple[Summary, Path]:
    """Render a store, count its people, and hold the counts beside the truth.

    Args:
        seed: Of the store and its people.
        seconds: How long a time of the store's is counted.
        out: Folder of the run; `runs/demo` unless given. What a run wrote there is replaced.
        video: File for the annotated video.
        progress: Tell rate and time left on stderr.

    Returns:
        `counted` and `truth` (`in` and `out` by line), `zones` and `visitors` likewise, `errors`
        (crossings too many or too few) and `crossings` (true ones); and the folder.

    Raises:
        UsageError: The seed or the seconds are impossible.
        StorageError: The folder cannot be written.
    """
    from ...runtime.models import STORE_PERSON
    from ...runtime.synth import open_scene, truth_counts

    scene = open_scene("store", seed=seed, seconds=seconds, **SCENE)
    parameters = {**SCENE, "seed": seed, "seconds": f"{seconds:g}"}
    config: Dict[str, Any] = {
        "pipeline": "counting",
        "model": str(STORE_PERSON),
        "classes": ["person"],
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
        "zones": {
            name: {"counted": summary["zones"][name]["entries"], "truth": facts["entries"]}
            for name, facts in truth.zones.items()
        },
        "visitors": {"counted": summary["visitors"], "truth": truth.visitors},
        "fps": summary["fps"],
    }, folder
