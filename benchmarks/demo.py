"""How many crossings the demo gets wrong, over rendered stores that its detector never saw.

python -m edgelane.benchmarks.demo --seeds 21
python -m edgelane.benchmarks.demo --room narrow --people 12
"""

import argparse
import json
import subprocess
import sys
import tempfile
from typing import Any, Dict, List, Optional


def measure(seed: int, room: str, people: int) -> Dict[str, Any]:
    """What `edgelane demo` prints for one store."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "edgelane", "demo", "--json", "--seed", str(seed)]
        command += ["--room", room, "--people", str(people), "--out", folder]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def main(arguments: Optional[List[str]] = None) -> int:
    """Print errors by seed, and their share of the true crossings."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--seeds", type=int, default=21, help="stores 1 to this")
    parser.add_argument("--room", default="wide", help="wide, as in the demo, or narrow")
    parser.add_argument("--people", type=int, default=8, help="about how many at a time")
    options = parser.parse_args(arguments)
    errors = crossings = 0
    print("seed  errors  crossings  people  true people", flush=True)
    for seed in range(1, options.seeds + 1):
        result = measure(seed, options.room, options.people)
        errors += result["errors"]
        crossings += result["crossings"]
        people = result["visitors"]
        print(
            f"{seed:4}  {result['errors']:6}  {result['crossings']:9}"
            f"  {people['counted']:6}  {people['truth']:11}",
            flush=True,
        )
    print(f" all  {errors:6}  {crossings:9}  {100 * errors / max(crossings, 1):.1f} %")
    return 0


if __name__ == "__main__":
    sys.exit(main())
