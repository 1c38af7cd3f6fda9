"""Pictures go into the input and boxes come back out exactly."""

import threading

import numpy as np
import pytest

from edgelane.core import DataError, InputSpec, ModelError
from edgelane.runtime.preprocess import Preprocessor, Transform, place

cv2 = pytest.importorskip("cv2")

RESIZES = ("letterbox", "centre", "stretch")


def plain(image, spec):
    """The definition, step by step, without folding anything."""
    transform, (wide, high) = place((image.shape[1], image.shape[0]), spec)
    canvas = np.full((spec.size[1], spec.size[0], 3), spec.pad, np.uint8)
    left, top = (int(v) for v in transform.offset)
    resized = image
    if (image.shape[1], image.shape[0]) != (wide, high):
        resized = cv2.resize(image, (wide, high), interpolation=cv2.INTER_LINEAR_EXACT)
    canvas[top : top + high, left : left + wide] = resized
    if spec.colour == "rgb":
        canvas = canvas[:, :, ::-1]
    values = (canvas.astype(np.float64) * spec.scale - np.array(spec.mean)) / np.array(spec.std)
    return values if spec.layout == "nhwc" else values.transpose(2, 0, 1)


@pytest.mark.parametrize("resize", RESIZES)
@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize("colour", ["bgr", "rgb"])
def test_values_are_those_of_the_definition(resize, layout, colour):
    """Colour order, layout, padding and normalisation, for wide, tall and exact pictures."""
    random = np.random.default_rng(0)
    spec = InputSpec(
        size=(64, 48),
        layout=layout,
        colour=colour,
        scale=1 / 255,
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        resize=resize,
        pad=100,
    )
    run = Preprocessor(spec)
    for width, height in ((100, 30), (31, 90), (64, 48), (640, 480)):
        image = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
        tensor, _ = run(image)
        assert tensor.dtype == np.float32
        assert tensor.shape == run.shape
        np.testing.assert_allclose(tensor, plain(image, spec), atol=2e-5)


def test_raw_pixels_pass_unscaled():
    """Scale 1 without mean and std gives 0..255 as they are."""
    image = np.random.default_rng(1).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    spec = InputSpec(size=(40, 40), colour="bgr", scale=1.0)
    tensor, _ = Preprocessor(spec)(image)
    np.testing.assert_array_equal(tensor, image.transpose(2, 0, 1))


@pytest.mark.parametrize("dtype", [np.uint8, np.float16])
def test_other_input_types(dtype):
    """An integer input takes pixels as they are, a half precision one rounded values."""
    image = np.random.default_rng(2).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    spec = InputSpec(size=(60, 60), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    tensor, _ = Preprocessor(spec, dtype)(image)
    assert tensor.dtype == dtype
    if dtype == np.uint8:
        np.testing.assert_array_equal(tensor[:, :40], image[:, :, ::-1].transpose(2, 0, 1))
        assert (tensor[:, 40:] == 114).all()
    else:
        np.testing.assert_allclose(tensor, plain(image, spec), atol=2e-3)


def test_a_type_no_picture_turns_into_is_refused():
    """The error says what would be right."""
    with pytest.raises(ModelError, match="float32, float16, uint8 or int32"):
        Preprocessor(InputSpec(size=(8, 8)), np.int64)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((8, 8), np.uint8),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((0, 8, 3), np.uint8),
        np.zeros((8, 8, 3), np.float32),
    ],
)
def test_what_is_no_colour_picture_is_refused(image):
    """Grey, transparent, empty and float pictures are the caller's mistake."""
    with pytest.raises(DataError, match="uint8"):
        Preprocessor(InputSpec(size=(8, 8)))(image)


@pytest.mark.parametrize("resize", RESIZES)
def test_boxes_go_there_and_back(resize):
    """For any sizes, to a thousandth of a pixel, and the whole picture covers the whole resize."""
    random = np.random.default_rng(3)
    for _ in range(200):
        image_size = tuple(int(v) for v in random.integers(1, 4000, 2))
        spec = InputSpec(size=tuple(int(v) for v in random.integers(32, 1300, 2)), resize=resize)
        transform, resized = place(image_size, spec)
        corner = random.uniform(0, 1, (20, 2, 2)) * image_size
        boxes = np.concatenate((corner.min(1), corner.max(1)), 1).astype(np.float32)
        back = transform.to_image(transform.to_input(boxes))
        tolerance = max(1e-3, max(image_size) * 1e-6)
        np.testing.assert_allclose(back, boxes, atol=tolerance)
        whole = transform.to_input(np.array([[0, 0, *image_size]]))[0]
        left, top = transform.offset
        expected = [left, top, left + resized[0], top + resized[1]]
        np.testing.assert_allclose(whole, expected, atol=1e-3)
        assert min(whole[:2]) >= 0
        assert whole[2] <= spec.size[0] + 1e-3
        assert whole[3] <= spec.size[1] + 1e-3


@pytest.mark.parametrize("resize", RESIZES)
def test_a_shape_is_found_where_the_transform_says(resize):
    """The pixels really lie where boxes are mapped: the middle of a bright patch moves with it."""
    spec = InputSpec(size=(416, 416), colour="bgr", scale=1.0, resize=resize, pad=0)
    image = np.zeros((333, 517, 3), np.uint8)
    image[100:220, 200:320] = 255
    tensor, transform = Preprocessor(spec)(image)
    y, x = np.mgrid[:416, :416] + 0.5
    weight = tensor[0] / tensor[0].sum()
    box = transform.to_input(np.array([[200, 100, 320, 220]]))[0]
    assert abs((x * weight).sum() - (box[0] + box[2]) / 2) < 0.1
    assert abs((y * weight).sum() - (box[1] + box[3]) / 2) < 0.1


def test_boxes_are_cut_off_at_the_picture():
    """Boxes that reach into the padding end at the picture's edge, unless asked not to."""
    transform = Transform((100, 50), (2.0, 2.0), (10.0, 20.0))
    boxes = np.array([[0, 0, 1000, 1000]], np.float32)
    assert transform.to_image(boxes).tolist() == [[0, 0, 100, 50]]
    assert transform.to_image(boxes, clip=False).tolist() == [[-5, -10, 495, 490]]
    points = transform.points_to_image(np.array([[10, 20], [30, 40]]))
    assert points.tolist() == [[0, 0], [10, 10]]


def test_a_batch_is_its_pictures():
    """Several pictures of different sizes give the tensors they give alone."""
    random = np.random.default_rng(4)
    run = Preprocessor(InputSpec(size=(64, 64)))
    images = [random.integers(0, 256, (h, w, 3), dtype=np.uint8) for h, w in ((30, 50), (90, 20))]
    batch, transforms = run.batch(images)
    for row, transform, image in zip(batch, transforms, images):
        alone, expected = run(image)
        np.testing.assert_array_equal(row, alone)
        assert transform == expected


def test_a_tensor_can_be_written_again():
    """Padding of an earlier picture does not shine through."""
    random = np.random.default_rng(5)
    run = Preprocessor(InputSpec(size=(64, 64)))
    wide = random.integers(0, 256, (20, 64, 3), dtype=np.uint8)
    tall = random.integers(0, 256, (64, 20, 3), dtype=np.uint8)
    expected, _ = run(tall)
    tensor, _ = run(wide)
    again, _ = run(tall, out=tensor)
    assert again is tensor
    np.testing.assert_array_equal(again, expected)


def test_pictures_that_are_views():
    """A cropped or flipped picture needs no copy by the caller."""
    image = np.random.default_rng(6).integers(0, 256, (80, 80, 3), dtype=np.uint8)
    run = Preprocessor(InputSpec(size=(40, 40)))
    for view in (image[10:70, 5:65], image[:, ::-1], image[:40, :40], image[:40, :40, ::-1]):
        np.testing.assert_array_equal(run(view)[0], run(np.ascontiguousarray(view))[0])


def test_threads_do_not_disturb_each_other():
    """One preprocessor serves several threads at once."""
    random = np.random.default_rng(7)
    run = Preprocessor(InputSpec(size=(96, 96)))
    images = [random.integers(0, 256, (70 + i, 90, 3), dtype=np.uint8) for i in range(4)]
    expected = [run(image)[0] for image in images]
    wrong = []

    def work(image, right):
        for _ in range(100):
            if not np.array_equal(run(image)[0], right):
                wrong.append(image.shape)

    threads = [threading.Thread(target=work, args=pair) for pair in zip(images, expected)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
