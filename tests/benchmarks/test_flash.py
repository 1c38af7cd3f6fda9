"""The benchmark of flashing measures what it says; whether it is quick, its result tells."""

import os
import shutil

import pytest

from edgelane.benchmarks import flash


@pytest.mark.slow
def test_it_measures_a_first_a_second_a_next_and_a_resumed_flash(capsys):
    if not (shutil.which("sshd") or os.path.exists("/usr/sbin/sshd")):
        pytest.skip("sshd is not installed")
    flash.main(["--megabytes", "3", "--repeats", "1"])
    lines = capsys.readouterr().out.splitlines()
    rows = {
        line[:26].strip(): line.split() for line in lines if " MB" in line and line.endswith(" %")
    }
    assert len(rows) == 4
    share = {name: float(row[-2]) for name, row in rows.items()}
    assert share["device that has nothing"] > 99
    assert share["the same again"] < 1 and share["next version, same weights"] < 2
    (resumed,) = (name for name in rows if name.startswith("after a cut"))
    assert share[resumed] < 99  # where exactly the cut falls is a matter of time
