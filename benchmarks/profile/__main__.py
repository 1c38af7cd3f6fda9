"""`python -m edgelane.benchmarks.profile JOB --out DIR`: the far end of a profile over ssh."""

import argparse
import json
import sys
from typing import Any, Dict, List, Optional

from ...core import EdgelaneError
from .sweep import run_job


def main(arguments: Optional[List[str]] = None) -> int:
    """Measure a job and write its lines to stdout."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("job", help="file that says what to measure")
    parser.add_argument("--out", required=True, help="folder for what is measured")
    options = parser.parse_args(arguments)

    def say(line: Dict[str, Any]) -> None:
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()

    try:
        run_job(options.job, options.out, say)
    except EdgelaneError as error:
        sys.stderr.write(f"Error: {error}\n")
        return error.exit_code
    except BrokenPipeError:
        sys.stdout = None  # type: ignore[assignment]
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
