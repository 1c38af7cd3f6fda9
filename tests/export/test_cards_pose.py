"""A pose net that is exported says on its card how it is read."""

import numpy as np
import pytest

pytest.importorskip("cv2")

from edgelane.core import ModelError
from edgelane.core.card import METADATA_KEY
from edgelane.export.cards import make_card
from edgelane.runtime.backends import TensorSpec
from edgelane.runtime.pose import build_pose
from edgelane.runtime.testing import FakeBackend


def backend(points=17, metadata=None, **outputs):
    maps = {"maps": np.zeros((1, points, 32, 24), np.float32), **outputs}
    inputs = [TensorSpec("image", (1, 3, 128, 96), np.dtype(np.float32))]
    return FakeBackend(maps, inputs=inputs, metadata=metadata)


def test_the_card_of_a_pose_net_is_one_that_it_runs_by():
    card, note = make_card(backend(), {"task": "pose", "licence": "Apache-2.0"}, (96, 128), "m")
    assert note == "" and card.decoder == "pose-heatmap" and card.licence == "Apache-2.0"
    assert card.extra["skeleton"] == "coco-17" and card.input.size == (96, 128)
    again = build_pose(backend(metadata={METADATA_KEY: card.to_json()}))
    assert again.card == card and len(again.skeleton) == 17


def test_a_custom_skeleton_goes_onto_the_card():
    skeleton = {"names": ["tip", "base"], "edges": [[0, 1]]}
    fields = {"task": "pose", "extra": {"skeleton": skeleton, "pose": {"padding": 1.5}}}
    card, _ = make_card(backend(2), fields, (96, 128), "m")
    model = build_pose(backend(2, metadata={METADATA_KEY: card.to_json()}))
    assert model.skeleton.names == ("tip", "base") and model.settings.padding == 1.5


def test_what_is_no_pose_net_is_told():
    with pytest.raises(ModelError, match="no decoder of poses fits"):
        outputs = {"boxes": np.zeros((1, 4, 4), np.float32)}
        made = backend(17, **outputs)
        make_card(made, {"task": "pose", "extra": {"skeleton": "coco-17"}}, (96, 128), "m")
    with pytest.raises(ModelError, match="does not fit"):
        make_card(backend(), {"task": "pose", "decoder": "simcc"}, (96, 128), "m")


def test_a_pose_net_of_ones_own_keeps_a_card_that_says_nothing():
    made = backend(17, more=np.zeros((1, 3, 5), np.float32))
    card, _ = make_card(made, {"task": "pose"}, (96, 128), "m")
    assert card.decoder == "none" and card.task == "pose"


def test_a_card_that_does_not_say_how_is_recognised():
    card, _ = make_card(backend(), {"task": "pose"}, (96, 128), "m")
    text = card.to_json().replace('"pose-heatmap"', '"none"')
    assert build_pose(backend(metadata={METADATA_KEY: text})).card.decoder == "pose-heatmap"
