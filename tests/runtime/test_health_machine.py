"""Heat, throttling, memory: read from files as the kernel writes them."""

import pytest

from edgelane.runtime.health.machine import HOLD, Heat, Vitals, look
from edgelane.runtime.health.monitor import Monitor
from edgelane.runtime.stats import RunStats


def put(root, path, text):
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"{text}\n")


@pytest.fixture
def orin(tmp_path):
    """Files as on an Orin: a zone with its limit, brakes and a fan."""
    zone = "sys/class/thermal/thermal_zone0"
    put(tmp_path, f"{zone}/type", "cpu-thermal")
    put(tmp_path, f"{zone}/temp", 51250)
    for number, (kind, value) in enumerate([("active", 50000), ("passive", 99000)]):
        put(tmp_path, f"{zone}/trip_point_{number}_type", kind)
        put(tmp_path, f"{zone}/trip_point_{number}_temp", value)
    for number, (kind, state) in enumerate(
        [("pwm-fan", 3), ("cpu-throttle-alert", 0), ("hot-surface-alert", 1), ("TCC Offset", 2)]
    ):
        put(tmp_path, f"sys/class/thermal/cooling_device{number}/type", kind)
        put(tmp_path, f"sys/class/thermal/cooling_device{number}/cur_state", state)
    put(tmp_path, "sys/class/hwmon/hwmon1/oc1_event_cnt", 4)
    put(tmp_path, "proc/meminfo", "MemTotal: 8000 kB\nMemFree: 1 kB\nMemAvailable: 2000 kB")
    put(tmp_path, "proc/self/status", "VmRSS:\t  512 kB\nThreads:\t7")
    return tmp_path


def test_a_cool_machine(orin):
    vitals = look(orin, orin)
    assert vitals.temperatures == {"cpu": 51.25} and vitals.limits == {"cpu": 99.0}
    assert vitals.braking == [] and vitals.throttles == {"over-current": 4}
    assert vitals.memory == {"total": 8000 * 1024, "available": 2000 * 1024}
    assert vitals.process == {"rss": 512 * 1024, "threads": 7}
    assert vitals.disk["free"] > 0 and vitals.hottest == 51.25
    assert Heat().update(vitals) == []


def test_heat_is_told_once_and_when_it_is_over(orin):
    heat = Heat()
    said = []
    for celsius in (80, 93.9, 94.1, 95, 93, 91, 89.9, 93):
        put(orin, "sys/class/thermal/thermal_zone0/temp", int(celsius * 1000))
        said.append(heat.update(look(orin, orin)))
    assert said == [[], [], ["hot"], [], [], [], ["cool"], []]
    strict = Heat(hot_c=60)
    assert strict.update(look(orin, orin)) == ["hot"] and "cpu is at 93 °C" in str(strict.hot)


def test_throttling_by_brakes_and_by_counters(orin):
    heat = Heat()
    brake = "sys/class/thermal/cooling_device1/cur_state"
    assert heat.update(look(orin, orin)) == []
    put(orin, brake, 2)
    assert heat.update(look(orin, orin)) == ["throttled"]
    assert heat.throttled == "slowed down by cpu-throttle-alert"
    put(orin, brake, 0)
    assert heat.update(look(orin, orin)) == ["full speed"]
    put(orin, "sys/class/hwmon/hwmon1/oc1_event_cnt", 6)
    assert heat.update(look(orin, orin)) == ["throttled"]
    assert heat.throttled == "slowed down by over-current"
    said = [heat.update(look(orin, orin)) for _ in range(HOLD)]
    assert said == [[]] * (HOLD - 1) + [["full speed"]]


def test_a_sensor_that_always_says_a_hundred_degrees_is_not_believed(orin):
    put(orin, "sys/class/thermal/thermal_zone1/type", "PMIC-Die")
    put(orin, "sys/class/thermal/thermal_zone1/temp", 100000)
    vitals = look(orin, orin)
    assert vitals.temperatures["PMIC-Die"] == 100.0 and vitals.hottest == 51.25
    assert Heat().update(vitals) == []


def test_counters_that_begin_anew_are_no_throttling():
    heat = Heat()
    assert heat.update(Vitals(throttles={"heat": 10})) == []
    assert heat.update(Vitals(throttles={"heat": 0})) == []
    assert heat.update(Vitals()) == []


def test_a_machine_that_tells_nothing(tmp_path):
    vitals = look(None, tmp_path)
    assert vitals.hottest is None and vitals.told()["temperature_c"] is None
    assert Heat().update(vitals) == []


def test_the_monitor_warns_and_tells_when_it_is_over(orin, caplog):
    told = []
    monitor = Monitor(RunStats(), {}, None, root=orin, alert=told.append)
    put(orin, "sys/class/thermal/thermal_zone0/temp", 98000)
    put(orin, "sys/class/thermal/cooling_device1/cur_state", 1)
    with caplog.at_level("INFO", "edgelane"):
        monitor._look()
        assert monitor.report()["state"] == "degraded"
        put(orin, "sys/class/thermal/thermal_zone0/temp", 50000)
        put(orin, "sys/class/thermal/cooling_device1/cur_state", 0)
        monitor._look()
    assert [r.getMessage() for r in caplog.records] == [
        "the machine is hot: cpu is at 98 °C",
        "the machine is slowed down by cpu-throttle-alert",
        "the machine is cool again",
        "the machine is at full speed again",
    ]
    assert [(e.payload["what"], e.payload["begins"]) for e in told] == [
        ("hot", True), ("throttled", True), ("hot", False), ("throttled", False),
    ]  # fmt: skip
    assert 'edgelane_temperature_celsius{sensor="cpu"} 50' in monitor.metrics()
