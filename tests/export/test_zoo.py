"""The detector that ships: it is small, its training can be repeated, and it sees people."""

import sys

import numpy as np
import pytest

if sys.version_info < (3, 10):
    pytest.skip("training and exporting need Python 3.10", allow_module_level=True)
torch = pytest.importorskip("torch")

from edgelane.core import DataError, InputSpec, ModelCard, ModelError, UsageError  # noqa: E402
from edgelane.core.card import METADATA_KEY  # noqa: E402
from edgelane.export.onnx import TOLERANCE, export_onnx  # noqa: E402
from edgelane.export.zoo.loss import assign, complete_overlap  # noqa: E402
from edgelane.export.zoo.model import SIZE, Detector, cells, decode, fused, parameters  # noqa: E402
from edgelane.export.zoo.pictures import Pictures, render_pictures  # noqa: E402
from edgelane.export.zoo.samples import Batches  # noqa: E402
from edgelane.export.zoo.ship import card_of, ship  # noqa: E402
from edgelane.export.zoo.train import Training  # noqa: E402
from edgelane.runtime.model import load_model  # noqa: E402
from edgelane.runtime.onnx_metadata import read_metadata  # noqa: E402


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("zoo") / "pictures"
    render_pictures(folder, 2)
    return folder


@pytest.fixture(autouse=True)
def one_thread():
    """Sums in one order, or a repeated training could differ in the last bit."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def batches(folder, count=8, batch=2):
    made = Batches(folder, 0, count, batch, SIZE)
    return [[torch.from_numpy(part) for part in made[k]] for k in range(count)]


def test_the_network_has_at_most_seven_hundred_thousand_parameters():
    assert parameters(Detector()) <= 700_000


def test_pictures_come_with_truth_that_lies_in_them(pictures):
    read = Pictures(pictures)
    assert len(read) == 24
    for picture in (read[0], read[13]):
        height, width = picture.labels.shape
        assert picture.image.shape == (height, width, 3)
        assert picture.labels.max() <= len(picture.boxes) == len(picture.visibility)
        for row in np.flatnonzero(picture.visibility > 0.5):
            y, x = np.nonzero(picture.labels == row + 1)
            x1, y1, x2, y2 = picture.boxes[row]
            assert x1 - 2 <= x.min() and x.max() <= x2 + 2
            assert y1 - 2 <= y.min() and y.max() <= y2 + 2


def test_rendering_again_leaves_what_is_there(pictures):
    before = {path.name: path.stat().st_mtime_ns for path in pictures.iterdir()}
    render_pictures(pictures, 2)
    assert before == {path.name: path.stat().st_mtime_ns for path in pictures.iterdir()}


def test_a_folder_without_pictures_says_so(tmp_path):
    with pytest.raises(DataError, match="no rendered pictures"):
        Pictures(tmp_path)


def test_a_batch_depends_on_its_number_alone(pictures):
    one, two = Batches(pictures, 3, 9, 2, SIZE), Batches(pictures, 3, 9, 2, SIZE)
    one[0], one[1]
    for a, b in zip(one[5], two[5]):
        np.testing.assert_array_equal(a, b)
    assert (one[5][0] != one[6][0]).any()


def test_boxes_of_samples_lie_within_and_some_are_to_be_found(pictures):
    width, height = SIZE
    found = 0
    for images, boxes, kinds in (Batches(pictures, 1, 9, 4, SIZE)[k] for k in range(5)):
        assert images.dtype == np.uint8 and images.shape == (4, 3, height, width)
        assert boxes.min() >= 0 and (boxes <= [width, height, width, height]).all()
        assert (boxes[kinds > 0][:, 2:] > boxes[kinds > 0][:, :2]).all()
        found += int((kinds == 1).sum())
    assert found > 20


def test_a_perfect_box_costs_nothing_and_a_cell_answers_for_whom_it_fits():
    points, steps = cells(*SIZE, torch.device("cpu"))
    boxes = torch.tensor([[[100.0, 60, 130, 130], [110, 60, 140, 130], [300, 100, 330, 180]]])
    kinds = torch.tensor([[1, 1, 2]])
    raw = torch.zeros(1, len(points), 4)
    centre = points + 0.5 * steps[:, None]
    raw[..., :2] = 0.5
    raw[..., 2] = torch.log(30 / steps)
    raw[..., 3] = torch.log(70 / steps)
    found = decode(raw, points, steps)
    given = assign(torch.full((1, len(points)), 0.5), found, points, steps, boxes, kinds)
    taken = given.quality[0] > 0
    assert 0 < int(taken.sum()) <= 18
    middle = centre[taken][:, 0]
    rows = given.row[0][taken]
    assert set(rows.tolist()) == {0, 1}
    assert middle[rows == 0].mean() < middle[rows == 1].mean()
    on_ignored = (centre[:, 0] > 301) & (centre[:, 0] < 329)
    on_ignored &= (centre[:, 1] > 101) & (centre[:, 1] < 179)
    assert given.ignored[0][on_ignored].all() and not taken[on_ignored].any()
    assert complete_overlap(boxes, boxes).min() > 0.999


def test_some_steps_lower_the_loss(pictures):
    batch = batches(pictures, 1, 4)[0]
    training = Training(seed=0)
    losses = [training.learn(batch, 0.0)["loss"] for _ in range(12)]
    assert losses[-1] < 0.9 * losses[0]


def test_a_training_that_goes_on_equals_one_that_was_not_interrupted(pictures, tmp_path):
    made = batches(pictures, 4)
    whole = Training(seed=1)
    for k, batch in enumerate(made):
        whole.learn(batch, k / 4)
    first = Training(seed=1)
    for k in (0, 1):
        first.learn(made[k], k / 4)
    first.save(tmp_path / "checkpoint.pt")
    second = Training(seed=1)
    second.load(tmp_path / "checkpoint.pt")
    for k in (2, 3):
        second.learn(made[k], k / 4)
    assert second.step == whole.step
    for name, value in whole.mean.state_dict().items():
        assert torch.equal(value, second.mean.state_dict()[name]), name
    with pytest.raises(UsageError, match="another seed"):
        Training(seed=2).load(tmp_path / "checkpoint.pt")
    assert str(tmp_path / "out.onnx") in ship(tmp_path, tmp_path / "out.onnx")
    card = ModelCard.from_json(read_metadata(tmp_path / "out.onnx")[METADATA_KEY])
    assert card.classes == ("person",) and card.extra["steps"] == 2


def test_going_on_with_nothing_says_so(tmp_path):
    with pytest.raises(UsageError, match="does not exist"):
        Training().load(tmp_path / "checkpoint.pt")
    with pytest.raises(UsageError, match="does not exist"):
        ship(tmp_path)


def test_folding_changes_nothing():
    torch.manual_seed(0)
    model = Detector()
    model.train()(torch.rand(4, 3, 64, 96) * 255)  # norms that are not the identity
    picture = torch.rand(1, 3, 64, 96) * 255
    with torch.no_grad():
        assert (model.eval()(picture) - fused(model)(picture)).abs().max() < 1e-4


@pytest.mark.parametrize("batch", [1, 0])
def test_an_export_gives_what_torch_gives_and_carries_its_card(tmp_path, batch):
    path = tmp_path / "model.onnx"
    assert export_onnx(fused(Detector()), path, card_of({"ap50": 0.5}), batch=batch) <= TOLERANCE
    with load_model(path, confidence=0.0001) as model:
        assert model.card.classes == ("person",) and model.card.extra["ap50"] == 0.5
        images = [np.full((90, 160, 3), grey, np.uint8) for grey in (40, 200, 90)]
        assert len(model.predict_batch(images)) == 3


def test_a_module_that_onnxruntime_computes_otherwise_is_refused(tmp_path):
    class Drifting(torch.nn.Module):
        """Another result each time it is run."""

        def __init__(self):
            super().__init__()
            self.runs = 0

        def forward(self, x):
            self.runs += 1
            return x + float(self.runs)

    card = ModelCard(task="detect", decoder="yolox", input=InputSpec(size=(64, 32)))
    with pytest.raises(ModelError, match="does not give what torch gives"):
        export_onnx(Drifting(), tmp_path / "model.onnx", card)
    assert list(tmp_path.iterdir()) == []
