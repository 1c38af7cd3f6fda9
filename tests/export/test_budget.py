"""The fastest precision within the budget is shipped, every attempt is told, and no other ships."""

import json
import sys

import numpy as np
import pytest

if sys.version_info < (3, 10):
    pytest.skip("the export room needs Python 3.10", allow_module_level=True)
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
cv2 = pytest.importorskip("cv2")
# Imported here: later the folder tests/packaging stands before the library of that name.
pytest.importorskip("matplotlib.backends.backend_agg")

from edgelane.calibration.accuracy import load_coco  # noqa: E402
from edgelane.calibration.lint import count, lint  # noqa: E402
from edgelane.core import DataError, ModelCard, ModelError, StorageError, UsageError  # noqa: E402
from edgelane.core.card import METADATA_KEY  # noqa: E402
from edgelane.export import search  # noqa: E402
from edgelane.export.budget import (  # noqa: E402
    BudgetSettings,
    export_within_budget,
    within_budget,
)
from edgelane.export.ranking import draw_choice  # noqa: E402
from edgelane.export.split import split  # noqa: E402
from edgelane.runtime.model import load_model  # noqa: E402
from edgelane.runtime.models import STORE_PERSON  # noqa: E402
from edgelane.runtime.onnx_metadata import read_metadata, write_metadata  # noqa: E402
from edgelane.runtime.synth import open_scene  # noqa: E402


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Pictures of rendered stores with the boxes of people in them, as COCO."""
    folder = tmp_path_factory.mktemp("store")
    images, annotations = [], []
    for seed in (11, 12):
        scene = open_scene("store", seed=seed, seconds=20)
        for index in range(0, scene.frames, scene.frames // 6):
            frame, truth = scene.render(index)
            number = len(images) + 1
            cv2.imwrite(str(folder / f"{number}.png"), frame.image)
            height, width = frame.image.shape[:2]
            images.append(
                {"id": number, "file_name": f"{number}.png", "width": width, "height": height}
            )
            for left, top, right, bottom in truth.seen[truth.visibility > 0.3].tolist():
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": number,
                        "category_id": 1,
                        "bbox": [left, top, right - left, bottom - top],
                    }
                )
    labels = folder / "labels.json"
    labels.write_text(
        json.dumps(
            {
                "images": images,
                "annotations": annotations,
                "categories": [{"id": 1, "name": "person"}],
            }
        )
    )
    return labels, folder


@pytest.fixture(autouse=True)
def quick(request, monkeypatch):
    """Calibrate by one method instead of trying what is best, unless a test asks for that."""
    if "best" not in request.fixturenames:
        real = search.quantise_best
        monkeypatch.setattr(
            search, "quantise_best", lambda *a, **k: real(*a, **{**k, "method": "mse"})
        )


@pytest.fixture
def best():
    """The calibrator as it is used."""


@pytest.fixture
def dataset(store):
    return load_coco(*store)


def spoil(monkeypatch, layers, factor=60.0):
    """Make the calibrator give some layers hopeless scales, as long as they are quantised."""
    from edgelane.calibration.graph import Graph

    real = search.quantise_best

    def spoilt(model, look, feeds, **options):
        recipe = real(model, look, feeds, **options)
        graph = Graph(recipe.quantised)
        for layer in layers:
            node = graph.producer(layer)
            dq = graph.producer(node.input[0])
            if dq is None or dq.op_type != "DequantizeLinear":
                continue  # float already
            value = graph.constant(dq.input[1]) * np.float32(factor)
            scale = graph.add_constant(f"{layer}/spoilt", value)
            tensor = graph.producer(dq.input[0]).input[0]
            zero = dq.input[2]
            graph.make("QuantizeLinear", [tensor, scale, zero], [f"{layer}/q"])
            graph.make("DequantizeLinear", [f"{layer}/q", scale, zero], [f"{layer}/dq"])
            graph.rewire(node, node.input[0], f"{layer}/dq")
        return recipe._replace(quantised=graph.finish())

    monkeypatch.setattr(search, "quantise_best", spoilt)


def quantised_layers(path=STORE_PERSON):
    from edgelane.calibration.fold import fold
    from edgelane.calibration.graph import Graph, read_model
    from edgelane.calibration.patterns import plan

    return list(plan(Graph(fold(read_model(path)))).nodes)


@pytest.mark.slow
def test_int8_ships_where_it_is_enough(best, dataset, tmp_path):
    told, steps = [], set()
    choice = within_budget(
        STORE_PERSON,
        dataset,
        settings=BudgetSettings(max_drop=8, rank=True),
        threads=1,
        told=told.append,
        progress=lambda what, done, of: steps.add(what),
    )
    assert [a.precision for a in choice.attempts] == ["int8"]
    assert told == list(choice.attempts)
    shipped = choice.shipped
    assert shipped.within and shipped.drop <= 8
    assert shipped.low <= shipped.drop <= shipped.high
    assert shipped.int8_share > 0.9
    assert shipped.agreement > 0.8
    assert {"calibrating", "judging", "measuring layers"} <= steps
    choice.write(tmp_path / "q.onnx")
    assert count(lint(tmp_path / "q.onnx"))["error"] == 0
    card = ModelCard.from_json(read_metadata(tmp_path / "q.onnx")[METADATA_KEY])
    notes = card.extra["budget"]
    assert card.precision == "int8"
    assert card.calibration
    assert notes["attempts"][0]["scores"]["AP"] == shipped.scores["AP"]
    assert notes["judged_on"].startswith("6 pictures")
    assert notes["calibrated_on"].startswith("6 pictures of the validation")
    assert card.extra["cpu"]["ms"] > 0
    with load_model(tmp_path / "q.onnx", threads=1) as model:
        assert model.classes == ("person",)
    draw_choice(choice, tmp_path / "r.png")
    picture = cv2.imread(str(tmp_path / "r.png"))
    assert picture is not None and picture.std() > 10


@pytest.mark.slow
def test_the_spoilt_layers_are_found_and_stay_float(dataset, monkeypatch):
    layers = quantised_layers()
    bad = [layers[3], layers[9]]
    spoil(monkeypatch, bad)
    choice = within_budget(STORE_PERSON, dataset, settings=BudgetSettings(max_drop=8), threads=1)
    assert choice.attempts[0].precision == "int8"
    assert not choice.attempts[0].within
    assert choice.shipped.precision == "mixed"
    # As few as suffice, from the top of the ranking, where the spoilt ones stand.
    assert 0 < len(choice.shipped.floats) <= 2
    assert set(choice.shipped.floats) <= set(bad)
    assert {s.layer for s in choice.sensitivity[:2]} == set(bad)
    assert choice.card.precision == "int8"
    assert choice.shipped.int8_share < 0.999


def test_fp16_is_next_and_fp32_last(dataset, monkeypatch):
    def fail(*arguments, **options):
        raise ModelError("this graph cannot be quantised")

    monkeypatch.setattr(search, "quantise_best", fail)
    choice = within_budget(STORE_PERSON, dataset, settings=BudgetSettings(max_drop=1), threads=1)
    assert [a.precision for a in choice.attempts] == ["int8", "mixed", "fp16"]
    assert choice.attempts[0].failed.startswith("this graph cannot be quantised")
    assert choice.card.precision == "fp16"
    assert abs(choice.shipped.drop) < 0.5
    monkeypatch.setattr(search, "to_fp16", fail)
    choice = within_budget(STORE_PERSON, dataset, settings=BudgetSettings(max_drop=1), threads=1)
    assert choice.shipped.precision == "fp32"
    assert choice.shipped.drop == 0
    assert choice.card.precision == "fp32"


def test_what_breaks_the_budget_is_not_shipped(store, monkeypatch, tmp_path):
    spoil(monkeypatch, quantised_layers()[:6])
    out = tmp_path / "m.onnx"
    with pytest.raises(ModelError, match="nothing that was tried stays within 1 points") as error:
        export_within_budget(
            str(STORE_PERSON),
            out,
            val=store[0],
            val_images=store[1],
            settings=BudgetSettings(max_drop=1, ladder=("int8",)),
            threads=1,
        )
    assert "int8: +" in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_export_reports_and_draws(store, tmp_path):
    out = tmp_path / "m.onnx"
    report = export_within_budget(
        str(STORE_PERSON),
        out,
        val=store[0],
        val_images=store[1],
        images=store[1],
        settings=BudgetSettings(max_drop=8),
        picture=tmp_path / "r.png",
        threads=1,
    )
    assert report["precision"] == "int8"
    assert report["bytes"] == out.stat().st_size
    assert report["budget"]["calibrated_on"] == str(store[1])
    assert report["budget"]["judged_on"].startswith("12 pictures")
    assert report["budget"]["sensitivity"]
    assert (tmp_path / "r.png").stat().st_size > 1000
    json.dumps(report)


def test_too_few_pictures_to_tell_is_said(dataset):
    settings = BudgetSettings(max_drop=0.5, ladder=("int8", "fp16", "fp32"))
    choice = within_budget(STORE_PERSON, dataset, settings=settings, threads=1)
    shipped = choice.shipped
    unsure = shipped.low < 0.5 < shipped.high
    assert unsure == any("too few to be sure" in w for w in choice.warnings)
    sure = BudgetSettings(max_drop=0.0, ladder=("int8", "fp32"), sure=True)
    assert within_budget(STORE_PERSON, dataset, settings=sure, threads=1).shipped.drop == 0


def test_what_is_asked_wrongly_is_told(store, dataset, tmp_path):
    with pytest.raises(UsageError, match="max_drop is out of range"):
        BudgetSettings(max_drop=-1)
    with pytest.raises(UsageError, match="unknown precision 'int4'"):
        BudgetSettings(ladder=("int4",))
    with pytest.raises(UsageError, match="there is no metric 'AP05'"):
        within_budget(STORE_PERSON, dataset, settings=BudgetSettings(metric="AP05"), threads=1)
    with pytest.raises(StorageError, match="no such folder"):
        export_within_budget(
            STORE_PERSON, tmp_path / "no" / "m.onnx", val=store[0], val_images=store[1]
        )
    with pytest.raises(DataError, match="one picture cannot both"):
        within_budget(STORE_PERSON, dataset.select([0]), threads=1)


def test_labels_that_do_not_fit_the_model_are_told(store, dataset, tmp_path):
    copy = tmp_path / "dog.onnx"
    copy.write_bytes(STORE_PERSON.read_bytes())
    card = read_metadata(copy)[METADATA_KEY]
    write_metadata(copy, {METADATA_KEY: card.replace('["person"]', '["dog"]')})
    with pytest.raises(DataError, match="none of the model's classes is a category"):
        within_budget(copy, dataset, threads=1)
    # Labels of the right class where there is nothing: the float model cannot be judged either.
    data = json.loads(store[0].read_text())
    for annotation in data["annotations"]:
        annotation["bbox"] = [0, 0, 3, 3]
    (tmp_path / "wrong.json").write_text(json.dumps(data))
    with pytest.raises(DataError, match="the float model itself has AP 0.000"):
        within_budget(STORE_PERSON, load_coco(tmp_path / "wrong.json", store[1]), threads=1)


def test_a_quantised_or_broken_model_is_told(dataset, tmp_path):
    from edgelane.calibration.fold import fold
    from edgelane.calibration.graph import read_model, write_model
    from edgelane.calibration.quantise import quantise

    class Ones(dict):
        def get(self, name, default=None):
            return 1.0

    write_model(quantise(fold(read_model(STORE_PERSON)), Ones()), tmp_path / "q.onnx")
    with pytest.raises(ModelError, match="is quantised already"):
        within_budget(tmp_path / "q.onnx", dataset)
    (tmp_path / "half.onnx").write_bytes(STORE_PERSON.read_bytes()[:100000])
    with pytest.raises(ModelError, match="cannot be read as ONNX"):
        within_budget(tmp_path / "half.onnx", dataset)


def test_halves_are_spread_and_share_nothing(dataset):
    for most in (1, 3, 100):
        one, two = split(dataset, most)
        assert len(one) == min(most, 6)
        ids = [p.id for p in (*one.pictures, *two.pictures)]
        assert sorted(ids) == [p.id for p in dataset.pictures]


@pytest.mark.slow
def test_the_command_ships_reports_and_refuses(store, tmp_path, capsys):
    from edgelane.cli.app import run_cli

    base = ["export", str(STORE_PERSON), "--val", str(store[0]), "--val-images", str(store[1])]
    out, picture = tmp_path / "m.onnx", tmp_path / "r.png"
    assert run_cli([*base, "--out", str(out), "--precision", "auto", "--max-drop", "8",
                    "--picture", str(picture)]) == 0  # fmt: skip
    shown = capsys.readouterr().out
    assert "tried    int8: AP" in shown
    assert "judged   on 6 pictures of labels.json" in shown
    assert out.is_file() and picture.is_file()
    assert run_cli([*base, "--out", str(tmp_path / "j.onnx"), "--precision", "fp16", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["precision"] == "fp16"
    assert report["budget"]["attempts"][0]["within"]
    assert run_cli([*base, "--out", str(tmp_path / "no.onnx"), "--precision", "int8",
                    "--max-drop", "0", "--sure"]) == 1  # fmt: skip
    told = capsys.readouterr().err
    assert "nothing that was tried stays within 0 points of AP" in told
    assert not (tmp_path / "no.onnx").exists()
    for wrong in (["--precision", "auto"], ["--max-drop", "2"], ["--picture", "x.png"]):
        assert run_cli(["export", str(STORE_PERSON), "--out", str(out), *wrong]) == 2
        assert "--val COCO.json and --val-images DIR" in capsys.readouterr().err
    assert run_cli([*base, "--out", str(out), "--precision", "int7"]) == 2
