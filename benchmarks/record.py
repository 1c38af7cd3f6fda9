"""Runs a benchmark and keeps what it printed, with machine, date and command.

    python -m edgelane.benchmarks.record tracking -- python -m edgelane.benchmarks.tracking --peers

writes `benchmarks/results/tracking.txt` in the working directory.
"""

import argparse
import datetime
import os
import platform
import shlex
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import List, Optional

RESULTS = Path("benchmarks/results")
LIBRARIES = ("numpy", "scipy", "onnxruntime", "opencv-python-headless", "supervision", "trackers")


def machine() -> str:
    """Processor, cores, Python and the libraries that matter, in one line."""
    processor = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                processor = line.partition(":")[2].strip()
                break
    except OSError:
        pass
    versions = []
    for name in LIBRARIES:
        try:
            versions.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    python = f"Python {platform.python_version()}"
    return f"{processor}, {os.cpu_count()} cores, {', '.join([python, *versions])}"


def main(arguments: Optional[List[str]] = None) -> int:
    """Run the command and write its output; the exit code is the command's."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", help="names the file")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="-- and what to run")
    options = parser.parse_args(arguments)
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        parser.error("no command after --")
    run = [sys.executable, *command[1:]] if command[0] == "python" else command
    done = subprocess.run(run, stdout=subprocess.PIPE, text=True, check=False)
    sys.stdout.write(done.stdout)
    if done.returncode == 0:
        RESULTS.mkdir(parents=True, exist_ok=True)
        head = [
            f"command  {shlex.join(command)}",
            f"date     {datetime.date.today().isoformat()}",
            f"machine  {machine()}",
            "",
        ]
        (RESULTS / f"{options.name}.txt").write_text(
            "\n".join(head) + "\n" + done.stdout, encoding="utf-8"
        )
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
