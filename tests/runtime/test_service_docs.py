"""What docs/service.md says holds."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from edgelane.runtime.config import load_config
from edgelane.runtime.health import machine, state
from edgelane.runtime.webhooks import sender

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "service.md").read_text(encoding="utf-8")


def block(language):
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.M | re.S)[0]


def test_its_config_is_one(tmp_path):
    path = tmp_path / "service.yaml"
    path.write_text(block("yaml"), encoding="utf-8")
    service = load_config(path).service
    assert service.timezone == "Europe/Berlin" and service.log.format == "json"
    assert service.webhooks[0].title == "shop" and service.clips.keep_days == 3
    assert service.health.listen == "127.0.0.1:9100"


def test_its_numbers_are_those_of_the_code():
    plain = " ".join(TEXT.split())
    assert f"has not gone round for {state.STUCK_S:.0f} s" in plain
    assert f"more than {100 * state.DROPPED_SHARE:.0f} % of the last minute" in plain
    assert f"hot {machine.BELOW_C:.0f} °C below" in plain and f"{machine.HOT_C:.0f} °C" in plain
    refused = ", ".join(map(str, sender.REFUSED[:-1])) + f" and {sender.REFUSED[-1]}"
    assert f"{refused} refuse the event" in plain
    assert sender.FIRST_S == 1.0 and sender.MOST_S == 300.0


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")
def test_its_unit_is_one(tmp_path):
    unit = tmp_path / "edgelane.service"
    text = re.sub(r"ExecStart=\S+", "ExecStart=/bin/true", block("ini"))
    unit.write_text(text, encoding="utf-8")
    done = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False
    )
    ours = [line for line in done.stderr.splitlines() if "edgelane.service" in line]
    assert ours == [], done.stderr
