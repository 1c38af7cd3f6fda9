"""How long `edgelane --help` takes, as a process from start to end.

python -m edgelane.benchmarks.startup
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from typing import Dict, List, Optional

LIMIT_S = 0.3


def measure(runs: int = 15) -> Dict[str, float]:
    """Seconds of wall clock: median, minimum and maximum over some runs after a first one."""
    command = [sys.executable, "-m", "edgelane", "--help"]
    seconds = []
    for index in range(runs + 1):
        began = time.perf_counter()
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        if index:
            seconds.append(time.perf_counter() - began)
    return {
        "median_s": round(statistics.median(seconds), 3),
        "min_s": round(min(seconds), 3),
        "max_s": round(max(seconds), 3),
    }


def main(arguments: Optional[List[str]] = None) -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    result = measure(options.runs)
    if options.json:
        print(json.dumps(result))
    else:
        print("edgelane --help", *(f"{k} {v}" for k, v in result.items()), f"(limit {LIMIT_S} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
