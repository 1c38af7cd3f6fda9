"""Plans and refusals, for every release, device and precision."""

import dataclasses
import itertools
import json
from pathlib import Path

import engine_nets as nets
import pytest

from edgelane.core import EdgelaneError, InputSpec, ModelCard, ModelError, UsageError
from edgelane.core.devices import DEVICES, find_device, graphics_card
from edgelane.runtime.engines import (
    make_plan,
    plan_build,
    read_calibration_cache,
    read_graph,
    usual_tensorrt,
)
from edgelane.runtime.engines.plan import parse_version
from edgelane.runtime.engines.shapes import parse_batch, parse_shape

RELEASES = ["8.2.1", "8.4.1", "8.5.2", "8.6.2", "10.3.0", "10.16.1", "11.4.0"]
GRAPHS = ["float", "half", "quantized", "quantized half"]


@pytest.fixture(scope="module")
def kinds(tmp_path_factory):
    """Facts of a graph by kind, and a calibration cache of the float one under `cache`."""
    folder = tmp_path_factory.mktemp("nets")
    facts = {
        "float": read_graph(nets.save(folder / "f.onnx")),
        "half": read_graph(nets.save(folder / "h.onnx", kind="half", island=True)),
        "quantized": read_graph(nets.save(folder / "q.onnx", quantized=True)),
        "pixels": read_graph(nets.save(folder / "p.onnx", kind="pixels")),
    }
    facts["quantized half"] = dataclasses.replace(facts["quantized"], half=True)
    facts["cache"] = read_calibration_cache(nets.save_cache(folder / "q.calib"))
    return facts


CASES = list(
    itertools.product(
        RELEASES,
        [name for name, device in DEVICES.items() if device.super_of is None],
        GRAPHS,
        ["auto", "fp32", "fp16", "int8"],
        [False, True],
        [None, 0],
    )
)


@pytest.mark.parametrize("release", RELEASES)
def test_every_plan_keeps_what_device_and_release_can_do(release, kinds):
    planned = 0
    for case, name, graph, precision, cached, dla in CASES:
        if case != release:
            continue
        device, facts = DEVICES[name], kinds[graph]
        try:
            plan = plan_build(
                facts,
                device,
                release,
                precision=precision,
                dla_core=dla,
                calibration=kinds["cache"] if cached else None,
            )
        except EdgelaneError as error:
            assert str(error).count("\n") == 0 and len(str(error)) < 400
            continue
        planned += 1
        version = parse_version(release)
        oldest, newest = device.tensorrt
        assert oldest <= version[:2] and (newest is None or version[:2] <= newest)
        assert device.fast(plan.precision)
        assert precision in ("auto", plan.precision)
        # The artefact that fits, and only that.
        assert (plan.precision == "int8") == (facts.quantized or cached)
        assert not (facts.quantized and cached)
        assert (plan.calibration is not None) == cached
        if version >= (11,):
            assert plan.typed and not cached
            assert not {"FP16", "INT8"} & set(plan.flags)
            assert facts.half or plan.precision != "fp16"
        else:
            assert plan.typed == (version >= (10,) and facts.half and dla is None)
            assert ("INT8" in plan.flags) == (plan.precision == "int8" and not plan.typed)
            assert ("FP16" in plan.flags) == (plan.precision != "fp32" and not plan.typed)
        assert ("EXPLICIT_BATCH" in plan.network_flags) == (version < (10,))
        by = "max_workspace_size" if version < (8, 4) else "set_memory_pool_limit"
        assert plan.workspace_by == by and plan.progress == (version >= (10,))
        if dla is not None:
            assert device.dla_cores > dla and not facts.quantized
            assert "GPU_FALLBACK" in plan.flags and plan.precision in ("fp16", "int8")
        else:
            assert "GPU_FALLBACK" not in plan.flags
        assert json.loads(json.dumps(plan.as_dict()))["precision"] == plan.precision
    assert planned > 10


@pytest.mark.parametrize("name", ["nano", "nano-2gb", "tx2", "tx2-nx"])
@pytest.mark.parametrize("graph", ["float", "quantized"])
def test_a_device_without_fast_int8_is_never_offered_it(name, graph, kinds):
    cache = kinds["cache"] if graph == "float" else None
    for precision in ("int8", "auto"):
        with pytest.raises(UsageError, match=r"has no fast INT8.*FP16, its best precision"):
            plan_build(kinds[graph], DEVICES[name], "8.2.1", precision=precision, calibration=cache)
    assert plan_build(kinds["float"], DEVICES[name], "8.2.1").precision == "fp16"


@pytest.mark.parametrize("name", ["xavier-nx", "agx-xavier"])
@pytest.mark.parametrize("release", ["8.2.1", "8.4.1", "8.5.2"])
def test_the_dla_of_a_xavier_gets_a_cache_and_never_q_dq(name, release, kinds):
    device = DEVICES[name]
    with pytest.raises(ModelError, match=r"the DLA takes no Q/DQ.*calibration cache"):
        plan_build(kinds["quantized"], device, release, dla_core=0)
    plan = plan_build(kinds["float"], device, release, dla_core=1, calibration=kinds["cache"])
    assert plan.precision == "int8" and plan.dla_core == 1
    assert set(plan.flags) == {"GPU_FALLBACK", "FP16", "INT8"}
    # On its GPU the same device takes Q/DQ.
    assert plan_build(kinds["quantized"], device, release).flags == ("FP16", "INT8")


def test_a_dla_that_is_not_there_or_cannot_do_it_is_refused(kinds):
    graph = kinds["float"]
    with pytest.raises(UsageError, match="Jetson Orin Nano 8GB has no DLA"):
        plan_build(graph, DEVICES["orin-nano"], "10.3.0", dla_core=0)
    with pytest.raises(UsageError, match=r"no DLA core 2.*0 to 1"):
        plan_build(graph, DEVICES["agx-orin"], "10.3.0", dla_core=2)
    with pytest.raises(UsageError, match=r"no DLA core 1.*expected core 0"):
        plan_build(graph, DEVICES["orin-nx-8gb"], "10.3.0", dla_core=1)
    with pytest.raises(UsageError, match="FP16 and INT8 only"):
        plan_build(graph, DEVICES["agx-orin"], "10.3.0", dla_core=0, precision="fp32")
    plan = plan_build(graph, DEVICES["agx-orin"], "10.16.1", dla_core=0)
    assert any("the build asks the device" in note for note in plan.notes)


def test_the_dla_runs_fixed_shapes_only(tmp_path):
    graph = read_graph(nets.save(tmp_path / "m.onnx", shape=(None, 3, 8, 8)))
    device = DEVICES["agx-xavier"]
    with pytest.raises(UsageError, match="fixed shapes only"):
        plan_build(graph, device, "8.5.2", dla_core=0, batch=(1, 2, 4))
    plan = plan_build(graph, device, "8.5.2", dla_core=0, batch=4)
    assert plan.profile == {"images": ((4, 3, 8, 8),) * 3}


def test_q_dq_on_8_2_needs_opset_13(tmp_path):
    old = read_graph(nets.save(tmp_path / "m.onnx", quantized=True, opset=11))
    with pytest.raises(ModelError, match=r"Q/DQ in an old form.*opset 11.*opset 13"):
        plan_build(old, DEVICES["xavier-nx"], "8.2.1")
    new = read_graph(nets.save(tmp_path / "n.onnx", quantized=True, opset=17))
    (note,) = plan_build(new, DEVICES["xavier-nx"], "8.2.1").notes
    assert "opset 17 is newer than the 13" in note and "--opset 13" in note
    assert plan_build(new, DEVICES["xavier-nx"], "8.5.2").notes == ()


def test_tensorrt_11_has_no_calibration_and_takes_precision_from_the_graph(kinds):
    orin = DEVICES["agx-orin"]
    with pytest.raises(ModelError, match=r"TensorRT 11 has no calibration.*edgelane calibrate"):
        plan_build(kinds["float"], orin, "11.4.0", calibration=kinds["cache"])
    with pytest.raises(ModelError, match="INT8 is Q/DQ in the graph"):
        plan_build(kinds["float"], orin, "11.4.0", precision="int8")
    with pytest.raises(ModelError, match="takes FP16 from the graph"):
        plan_build(kinds["float"], orin, "11.4.0", precision="fp16")
    assert plan_build(kinds["half"], orin, "11.4.0").network_flags == ("STRONGLY_TYPED",)
    plan = plan_build(kinds["quantized"], orin, "11.4.0")
    assert plan.precision == "int8" and "runs in FP32" in plan.notes[0]
    plan = plan_build(kinds["float"], orin, "11.4.0")
    assert plan.precision == "fp32" and "for FP16 export it typed" in plan.notes[0]


def test_fp32_islands_of_a_half_graph_are_kept_where_flags_rule(kinds):
    plan = plan_build(kinds["half"], DEVICES["nano"], "8.2.1")
    assert plan.keep_float == ("exp_out",)
    assert plan.flags == ("FP16", "PREFER_PRECISION_CONSTRAINTS")
    plan = plan_build(kinds["half"], DEVICES["orin-nano"], "10.3.0")
    assert plan.typed and plan.keep_float == () and plan.flags == ()
    # What Q/DQ feeds is typed FP32 and must run in INT8.
    mixed = dataclasses.replace(kinds["quantized half"], float_tensors=("conv_out",))
    plan = plan_build(mixed, DEVICES["xavier-nx"], "8.5.2")
    assert plan.keep_float == () and plan.flags == ("FP16", "INT8")


@pytest.mark.parametrize(
    ("name", "release", "text"),
    [
        ("nano", "10.3.0", "up to 8.2"),
        ("agx-xavier", "8.6.2", "up to 8.5"),
        ("agx-orin", "8.2.1", "8.4 or newer"),
        ("agx-thor", "10.3.0", "10.13 or newer"),
        ("nano", "7.1.3", "too old"),
        ("nano", "eight", "no release of TensorRT"),
    ],
)
def test_a_release_that_no_jetpack_brings_is_refused(name, release, text, kinds):
    with pytest.raises(UsageError, match=text):
        plan_build(kinds["float"], DEVICES[name], release)


def test_what_contradicts_itself_is_refused(kinds):
    device = DEVICES["agx-orin"]
    for graph, options, text in (
        ("float", {"precision": "int8"}, "nothing tells the ranges.*edgelane calibrate"),
        ("float", {"precision": "int4"}, "precision is unknown"),
        ("quantized", {"precision": "fp16"}, "can only be built in INT8"),
        ("half", {"precision": "fp32"}, "computes in FP16 by itself"),
        ("half", {"calibration": kinds["cache"]}, "computes in FP16 by itself"),
        ("quantized", {"calibration": kinds["cache"]}, "that is all INT8 needs"),
        ("float", {"calibration": kinds["cache"], "precision": "fp16"}, "of no use in fp16"),
        ("float", {"workspace_mb": 0}, "workspace is out of range"),
        ("float", {"workspace_mb": 65537}, "workspace is out of range"),
        ("float", {"level": 6}, "level is out of range"),
    ):
        with pytest.raises(EdgelaneError, match=text):
            plan_build(kinds[graph], device, "10.3.0", **options)
    with pytest.raises(UsageError, match="no optimisation levels"):
        plan_build(kinds["float"], DEVICES["nano"], "8.2.1", level=3)
    assert plan_build(kinds["float"], device, "10.3.0", level=5).optimization_level == 5


def test_pixels_as_input_need_8_5(kinds):
    with pytest.raises(ModelError, match=r"input 'images' is uint8.*8\.5 or newer"):
        plan_build(kinds["pixels"], DEVICES["nano"], "8.2.1")
    assert plan_build(kinds["pixels"], DEVICES["xavier-nx"], "8.5.2").precision == "fp16"


def test_workspace_is_a_share_of_the_memory(kinds):
    sizes = {n: plan_build(kinds["float"], DEVICES[n], "8.2.1").workspace_mb
             for n in ("nano-2gb", "nano", "xavier-nx", "agx-xavier")}  # fmt: skip
    assert sizes == {"nano-2gb": 512, "nano": 1024, "xavier-nx": 2048, "agx-xavier": 4096}
    plan = plan_build(kinds["float"], DEVICES["nano"], "8.2.1", workspace_mb=256)
    assert plan.workspace_mb == 256


def test_auto_holds_to_what_an_accuracy_budget_settled_on(tmp_path, kinds):
    card = ModelCard("detect", "yolox", InputSpec((8, 8)), precision="fp32", extra={"budget": {}})
    graph = read_graph(nets.save(tmp_path / "m.onnx", card=card.to_json()))
    assert plan_build(graph, DEVICES["nano"], "8.2.1").precision == "fp32"
    free = dataclasses.replace(card, extra={})
    graph = read_graph(nets.save(tmp_path / "n.onnx", card=free.to_json()))
    assert plan_build(graph, DEVICES["nano"], "8.2.1").precision == "fp16"


def test_graphics_cards_are_planned_for_by_their_capability(kinds):
    old = graphics_card("GTX 970", (5, 2))
    assert plan_build(kinds["float"], old, "8.6.2").precision == "fp32"
    with pytest.raises(UsageError, match="no fast FP16"):
        plan_build(kinds["float"], old, "8.6.2", precision="fp16")
    new = graphics_card("RTX 3060", (8, 6))
    assert plan_build(kinds["quantized"], new, "10.3.0").precision == "int8"


def test_open_axes_are_settled_by_batch_card_and_shape(tmp_path):
    device = find_device("orin-nano")
    open_batch = read_graph(nets.save(tmp_path / "b.onnx", shape=(None, 3, 8, 8)))
    assert plan_build(open_batch, device, "10.3.0").profile == {"images": ((1, 3, 8, 8),) * 3}
    plan = plan_build(open_batch, device, "10.3.0", batch=(1, 4, 8))
    assert [s[0] for s in plan.profile["images"]] == [1, 4, 8]
    path = nets.save(tmp_path / "a.onnx", shape=("n", 3, "h", "w"))
    with pytest.raises(ModelError, match=r"leaves the shape of input 'images' open.*--shape"):
        plan_build(read_graph(path), device, "10.3.0")
    plan = plan_build(read_graph(path), device, "10.3.0", shapes={"images": (1, 3, 16, 32)})
    assert plan.profile == {"images": ((1, 3, 16, 32),) * 3}
    card = ModelCard("detect", "yolox", InputSpec((64, 32)))
    graph = read_graph(
        nets.save(tmp_path / "c.onnx", shape=("n", 3, "h", "w"), card=card.to_json())
    )
    plan = plan_build(graph, device, "10.3.0", batch=2)
    assert plan.profile == {"images": ((2, 3, 32, 64),) * 3}
    fixed = read_graph(nets.save(tmp_path / "f.onnx"))
    assert plan_build(fixed, device, "10.3.0").profile == {}
    assert plan_build(fixed, device, "10.3.0", batch=1).profile == {}
    for options, text in (
        ({"batch": 2}, "fixes its batch.*got --batch 2.*expected 1"),
        ({"shapes": {"image": (1, 3, 8, 8)}}, "no input 'image'.*did you mean 'images'"),
        ({"shapes": {"images": (1, 3, 9, 8)}}, "does not fit.*1x3x9x8.*1x3x8x8"),
    ):
        with pytest.raises(EdgelaneError, match="(?i)" + text):
            plan_build(fixed, device, "10.3.0", **options)
    for wrong in (0, (1, 2), (3, 2, 1)):
        with pytest.raises(UsageError, match="batch is wrong"):
            plan_build(open_batch, device, "10.3.0", batch=wrong)


def test_batches_and_shapes_are_read_from_text():
    assert parse_batch("4") == 4 and parse_batch("1:4:8") == (1, 4, 8)
    assert parse_shape("images=1x3x416X416") == ("images", (1, 3, 416, 416))
    for text in ("", "a", "1:2"):
        with pytest.raises(UsageError, match="batch is wrong"):
            parse_batch(text)
    for text in ("1x3", "images=", "images=1x-3", "images=1x0"):
        with pytest.raises(UsageError, match="shape is wrong"):
            parse_shape(text)


def test_the_usual_release_is_that_of_the_newest_jetpack():
    usual = {name: usual_tensorrt(device) for name, device in DEVICES.items()}
    assert usual["nano"] == usual["tx2"] == "8.2.1" and usual["agx-xavier"] == "8.5.2"
    assert usual["orin-nano"] == usual["agx-thor"] == "10.16.1"


def test_a_plan_is_made_from_files_for_any_device(tmp_path):
    path = nets.save(tmp_path / "m.onnx")
    cache = nets.save_cache(tmp_path / "q.calib")
    plan = make_plan(path, "Xavier NX", calibration=cache, batch=1)
    assert plan.precision == "int8" and plan.tensorrt == "8.5.2" and plan.device == "xavier-nx"
    with pytest.raises(UsageError, match="no device is called"):
        make_plan(path, "toaster")


def test_a_cache_of_a_rewritten_graph_wants_that_graph(tmp_path):
    card = ModelCard("detect", "yolox", InputSpec((8, 8)))
    original = nets.save(tmp_path / "m.onnx", card=card.to_json())
    marked = dataclasses.replace(card, calibration="c0ffee").to_json()
    rewritten = nets.save(tmp_path / "q.float.onnx", card=marked, seed=1)
    cache = nets.save_cache(tmp_path / "q.calib")
    with pytest.raises(UsageError, match=r"is for .*q\.float\.onnx, a rewritten graph.*m\.onnx"):
        make_plan(original, "xavier-nx", calibration=cache)
    assert make_plan(rewritten, "xavier-nx", calibration=cache).precision == "int8"
    # A float file that is not of that calibration tells nothing.
    nets.save(tmp_path / "q.float.onnx", card=card.to_json(), seed=1)
    assert make_plan(original, "xavier-nx", calibration=cache).precision == "int8"
    (tmp_path / "q.float.onnx").write_bytes(b"rubbish")
    assert make_plan(original, "xavier-nx", calibration=cache).precision == "int8"


def test_a_cache_of_another_graph_is_refused(tmp_path, kinds):
    device = DEVICES["xavier-nx"]
    foreign = nets.save_cache(tmp_path / "a.calib", {"x1": 0.1, "x2": 0.1, "images": 0.1})
    with pytest.raises(ModelError, match=r"is not of .*2 of 3 tensors.*'x1'"):
        plan_build(kinds["float"], device, "8.5.2", calibration=read_calibration_cache(foreign))
    partly = {"conv_out": 0.1, "output": 0.1, "(Unnamed Layer* 3) [Constant]_output": 0.1}
    cache = read_calibration_cache(nets.save_cache(tmp_path / "b.calib", partly))
    plan = plan_build(kinds["float"], device, "8.5.2", calibration=cache)
    assert (
        "that are not in the graph: 1" in plan.notes[0]
        and "no range of input 'images'" in plan.notes[1]
    )


def test_a_cache_is_read_and_written_as_the_release_wants_it(tmp_path):
    path = nets.save_cache(tmp_path / "q.calib", {"a: b": 0.5, "x": 1e-30, "y": 0.0})
    cache = read_calibration_cache(path)
    assert cache.scales["a: b"] == 0.5 and cache.scales["x"] == pytest.approx(1e-30)
    assert cache.text((8, 2, 1)).splitlines()[0] == b"TRT-8201-EntropyCalibration2"
    assert cache.text((10, 3, 0)).splitlines()[0] == b"TRT-100300-EntropyCalibration2"
    assert cache.text((8, 5, 1)).splitlines()[1:] == Path(path).read_bytes().splitlines()[1:]


def test_lost_zeros_of_a_cache_are_put_back(tmp_path, kinds):
    scales = {"images": "3c008912", "conv_out": "da24260", "output": "3c008912"}
    cache = read_calibration_cache(nets.save_cache(tmp_path / "q.calib", scales))
    assert cache.scales["conv_out"] == pytest.approx(1e-30) and cache.mended == ("conv_out",)
    plan = plan_build(kinds["float"], DEVICES["xavier-nx"], "8.5.2", calibration=cache)
    assert "leading zeros" in plan.notes[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no calibration cache.*empty"),
        ("PK\x03\x04", "no calibration cache"),
        ("TRT-8501-MinMaxCalibration\nx: 3c008912\n", "no calibration cache.*MinMax"),
        ("TRT-8501-EntropyCalibration2\n", "holds no tensor"),
        ("TRT-8501-EntropyCalibration2\nx 3c008912\n", "damaged in line 2"),
        ("TRT-8501-EntropyCalibration2\nx: 3c008912\ny: 7fc00000\n", "damaged in line 3"),
        ("TRT-8501-EntropyCalibration2\nx: bf800000\n", "damaged in line 2"),
        ("TRT-8501-EntropyCalibration2\nx: 3c00891g\n", "damaged in line 2"),
    ],
)
def test_a_cache_that_is_none_or_damaged_is_refused(tmp_path, text, message):
    (tmp_path / "q.calib").write_text(text)
    with pytest.raises(ModelError, match=message):
        read_calibration_cache(tmp_path / "q.calib")
    with pytest.raises(ModelError, match="cannot be read"):
        read_calibration_cache(tmp_path / "none.calib")
