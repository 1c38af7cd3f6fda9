"""Pictures and labels are found, or it is said what is missing."""

import json

import pytest
from profiles import write_data

from edgelane.benchmarks.profile.data import Data, find_data
from edgelane.core import DataError


def test_images_are_found_beside_their_annotations(tmp_path):
    folder = write_data(tmp_path / "d")
    found = find_data(folder / "labels.json")
    assert found.images.name == "pictures"
    assert list(found.timed) == ["001.jpg", "002.jpg", "003.jpg", "004.jpg"]
    assert find_data(folder).annotations == folder / "labels.json"


def test_images_are_found_where_annotations_have_a_folder_of_their_own(tmp_path):
    folder = write_data(tmp_path / "d")
    (folder / "annotations").mkdir()
    (folder / "labels.json").rename(folder / "annotations" / "instances.json")
    assert find_data(folder / "annotations" / "instances.json").images.name == "pictures"
    assert find_data(folder).images.name == "pictures"


def test_a_folder_of_pictures_will_do(tmp_path):
    folder = write_data(tmp_path / "d") / "pictures"
    found = find_data(folder)
    assert found.annotations is None and len(found.timed) == 4


def test_it_travels_through_a_job_file(tmp_path):
    found = find_data(write_data(tmp_path / "d"))
    assert Data.from_dict(json.loads(json.dumps(found.to_dict()))) == Data(
        found.images, found.annotations, None, found.identity, tuple(found.timed)
    )


def test_other_pictures_are_other_data(tmp_path):
    one = find_data(write_data(tmp_path / "a"))
    (tmp_path / "b").mkdir()
    two = find_data(write_data(tmp_path / "b", count=5))
    assert one.identity == find_data(tmp_path / "a").identity != two.identity


def test_annotations_that_match_no_image_leave_the_pictures(tmp_path):
    folder = write_data(tmp_path / "d")
    data = json.loads((folder / "labels.json").read_text())
    for info in data["images"]:
        info["file_name"] = "elsewhere_" + info["file_name"]
    (folder / "labels.json").write_text(json.dumps(data))
    assert len(find_data(folder / "labels.json", folder / "pictures").timed) == 4
    assert find_data(folder).annotations is not None
    with pytest.raises(DataError, match="no image that .* names is beside it"):
        find_data(folder / "labels.json")


@pytest.mark.parametrize("content", ["", "[1, 2]", '{"images": 3}', "not json"])
def test_a_file_that_is_no_coco_is_refused(tmp_path, content):
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(DataError, match="x.json is no"):
        find_data(tmp_path / "x.json")


def test_what_is_not_there_or_empty_is_refused(tmp_path):
    with pytest.raises(DataError, match="there is no"):
        find_data(tmp_path / "nothing")
    with pytest.raises(DataError, match="no pictures"):
        find_data(tmp_path)
