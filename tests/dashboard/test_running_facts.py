"""What the report says of rates, drops and latency of a camera."""

from edgelane.dashboard.running import run_facts


def test_rates_and_latency_are_told_where_they_are_known():
    part = {
        "frames": 1200,
        "dropped": 3,
        "skipped": 6000,
        "latency_ms": {"p50": 21.4, "p95": 40.0, "p99": 62.0},
    }
    assert run_facts(part) == [
        ("Frames", "1,200"),
        ("Dropped frames", "3"),
        ("Frames not asked for", "6,000"),
        ("From picture to event", "21 ms; 99 % within 62 ms"),
    ]
    assert run_facts({"frames": 7, "latency_ms": "soon"}) == [("Frames", "7")]
    assert run_facts({"latency_ms": {"p50": None, "p99": 3}}) == []
