"""How right a pose net is where the boxes are given: OKS average precision and PCK.

python -m edgelane.benchmarks.pose --model M --images DIR --labels DIR [--json]

With `--against FP32.onnx` also how far its poses are from that net's, and the difference of the
average precisions with its interval; with `--jitter` how much still people tremble.
"""

import argparse
import json
import sys
from typing import Any, Dict, Optional, Sequence

from ..calibration.accuracy.evaluation import paired_interval
from ..calibration.accuracy.poses import evaluate_poses, load_poses
from ..calibration.accuracy.steadiness import drift, still_people
from ..core import EdgelaneError
from ..pipelines.pose import OneEuro, OneEuroSettings
from ..runtime.pose import REFINEMENTS, load_pose


def main(arguments: Optional[Sequence[str]] = None) -> Dict[str, Any]:
    """Measure what the command line asks for and print it."""
    parser = argparse.ArgumentParser(
        prog="python -m edgelane.benchmarks.pose", description=str(__doc__).split("\n")[0]
    )
    parser.add_argument("--model", required=True, help="ONNX of a net that takes one person")
    parser.add_argument("--images", required=True, help="folder of pictures")
    parser.add_argument(
        "--labels",
        required=True,
        help="folder of text files (class cx cy w h, then x y v a point), or a COCO JSON",
    )
    parser.add_argument("--refine", choices=sorted(REFINEMENTS), help="instead of the model's")
    parser.add_argument("--padding", type=float, help="of the crops, instead of the model's")
    parser.add_argument("--against", help="ONNX of the net that it was made from")
    parser.add_argument("--jitter", action="store_true", help="measure it on noisy stills")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    given = {"refine": options.refine, "padding": options.padding}
    settings = {name: value for name, value in given.items() if value is not None}
    with load_pose(options.model, settings=settings) as model:
        pictures = load_poses(options.images, options.labels, len(model.skeleton))
        evaluation = evaluate_poses(model, pictures)
        result: Dict[str, Any] = {"pictures": len(evaluation.pictures), **evaluation.scores}
        if options.jitter:
            result.update(still_people(model, pictures, lambda k: OneEuro(k, OneEuroSettings())))
        if options.against:
            with load_pose(options.against, settings=settings) as other:
                moved = drift(model, other, pictures)
                result.update({f"drift_{name}": value for name, value in moved.items()})
                change = paired_interval(evaluate_poses(other, pictures), evaluation)
            result["change"] = change.difference
            result["change_low"], result["change_high"] = change.low, change.high
    if options.json:
        print(json.dumps(result, indent=2))
    else:
        for key, value in result.items():
            print(f"{key:<16} {value:.4f}" if isinstance(value, float) else f"{key:<16} {value}")
    return result


if __name__ == "__main__":
    try:
        main()
    except EdgelaneError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
