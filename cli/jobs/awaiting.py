"""Cameras that are not there yet when a run begins."""

from typing import Any, Dict, Mapping, Tuple

from ...core import SourceError
from ...runtime.config import Config

Size = Tuple[int, int]


def await_cameras(sources: Mapping[str, Any], config: Config, known: Mapping[str, Size]) -> None:
    """See to it that every live source knows the size of its frames.

    A run that is gone on with keeps the sizes that it had, and begins without the cameras that
    are away. A new run waits for the first picture of each. Where one stays away and others are
    there, it is begun without it, in the size that its shapes are drawn in.

    Args:
        sources: By camera.
        config: Tells the reference sizes.
        known: Sizes of the run that is gone on with.

    Raises:
        SourceError: A camera refuses us, none is there, or one is away whose size is not known.
    """
    late: Dict[str, SourceError] = {}
    there = 0
    for name, source in sources.items():
        expect = getattr(source, "expect", None)
        if expect is None:
            there += 1
        elif name in known:
            expect(known[name])
            there += 1
        else:
            try:
                there += bool(source.size)
            except SourceError as error:
                if source.refused:
                    raise
                late[name] = error
    for name, error in late.items():
        reference = config.cameras[name].reference_size
        if not there or reference is None:
            raise error
        size = (round(reference[0]), round(reference[1]))
        sources[name].expect(size)
        sources[name].warnings.append(
            f"{name} gave no pictures when the run began, which goes on without it until it does: "
            f"its pictures will be scaled to {size[0]}x{size[1]}, the reference size."
        )
