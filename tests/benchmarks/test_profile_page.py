"""The picture and the page: estimates look different from measurements."""

import pytest

from edgelane.benchmarks.profile.front import Budget, answers, mark_front
from edgelane.benchmarks.profile.page import render
from edgelane.benchmarks.profile.rows import beside, estimated_rows

STAGE = {"p50": 2.0, "p95": 3.0, "p99": 4.0, "mean": 2.2}


def failed(error):
    found = {"ms": None, "low_ms": None, "high_ms": None, "infer_ms": None, "fps": None}
    return row("b", **found, stages=None, error=error)


def row(model="net <b>", accuracy=0.3, **more):
    ms = more.get("ms") or 20.0
    found = {
        "kind": "measured", "model": model, "size": [64, 64], "precision": "fp16",
        "backend": "onnxruntime", "device": "this machine", "machine": "a & b", "ms": ms,
        "low_ms": ms * 0.9, "high_ms": ms * 1.1, "infer_ms": ms * 0.8, "fps": 1e3 / ms,
        "metric": "AP", "accuracy": accuracy, "error": None, "notes": [], "made": True,
        "stages": {"infer": STAGE, "end_to_end": STAGE}, "path": "m.onnx", "watts": 5.0,
        "energy_mj": 5 * ms,
    }  # fmt: skip
    return {**found, **more}


def guess(**more):
    return row(kind="estimate", backend=None, stages=None, watts=None, energy_mj=None,
               fitted_on="437 published latencies from 16 sources", **more)  # fmt: skip


ABOUT = {"date": "2026-01-01", "machine": "a & b", "versions": {"edgelane": "1"}}


def page(rows, notes=(), picture=None):
    mark_front(rows)
    return render(rows, answers(rows, Budget()), notes, ABOUT, picture)


def test_the_page_is_whole_and_quotes_what_users_named():
    text = page([row(), failed("it <failed>")], ["a note"])
    assert "net &lt;b&gt;" in text and "<b>" not in text
    assert "it &lt;failed&gt;" in text and "A note" in text
    assert "1 of 2 rows failed" in text


def test_estimates_are_marked_and_say_what_they_were_fitted_on():
    text = page([row(), guess(device="xavier-nx")])
    assert 'class="tag estimate"' in text and 'class="tag measured"' in text
    assert "Jetson Xavier NX" in text and "437 published latencies" in text
    assert "Estimated, not measured." in text


def test_a_page_without_anything_measured_is_written():
    assert "2 of 2 rows failed" in page([failed("x") for _ in "ab"])


@pytest.mark.slow
def test_the_picture_is_a_png_with_panels_for_devices_and_energy():
    pytest.importorskip("matplotlib")
    from edgelane.benchmarks.profile.picture import draw

    rows = [
        row(),
        row("b", 0.25, ms=10.0),
        guess(device="nano"),
        guess(model="b", device="nano", ms=9),
    ]
    mark_front(rows)
    wide = draw(rows)
    assert wide is not None and wide.startswith(b"\x89PNG")
    size = [int.from_bytes(wide[i : i + 4], "big") for i in (16, 20)]
    alone = draw([r for r in rows if r["device"] == "nano"])
    assert alone is not None
    assert size[0] > 1.8 * int.from_bytes(alone[16:20], "big")
    assert "data:image/png;base64," in page(rows, picture=wide)
    assert draw([row(accuracy=None)]) is None


def test_an_estimate_is_set_beside_what_was_measured_there():
    measured = row("net", device="orin-nano", infer_ms=10.0)
    close = guess(model="net", device="orin-nano", ms=12.0, low_ms=9.0, high_ms=15.0)
    (text,) = beside([measured, close])
    assert "estimated 12.0 ms, measured 10.0 ms: 20 % too high, within its interval" in text
    assert close["off_percent"] == 20.0
    assert beside([measured, guess(model="net", device="nano")]) == []


def test_power_modes_of_a_device_are_told_apart(tmp_path):
    """Each has its own front, answer and part of the page: slower is no worse a choice there."""
    onnx = pytest.importorskip("onnx")
    from edgelane.benchmarks.networks import build_network

    onnx.save(build_network("resnet18"), str(tmp_path / "m.onnx"))
    measured = row(path=str(tmp_path / "m.onnx"))
    rows = estimated_rows([measured], ["orin-nano"], modes=["7W", "MAXN"])
    assert [r["mode"] for r in rows] == ["7W", "MAXN"] and rows[0]["ms"] > rows[1]["ms"]
    mark_front(rows)
    assert [r["front"] for r in rows] == [True, True]
    texts = [a["text"] for a in answers(rows, Budget())]
    assert "a Jetson Orin Nano 8GB in 7W" in texts[0] and " in 7W" not in texts[1]
    assert "Jetson Orin Nano 8GB in 7W</h2>" in page(rows)
    assert beside([{**measured, "device": "orin-nano", "infer_ms": 9.0}, rows[0]]) == []


def test_what_cannot_be_estimated_says_why(tmp_path):
    pytest.importorskip("onnx")
    (tmp_path / "m.onnx").write_bytes(b"nothing")
    rows = estimated_rows([row(path=str(tmp_path / "m.onnx"))], ["nano"])
    assert len(rows) == 1 and rows[0]["error"] and rows[0]["kind"] == "estimate"
    unmade = row(made=False, path="other_size.onnx")
    assert estimated_rows([unmade], ["nano"]) == []
