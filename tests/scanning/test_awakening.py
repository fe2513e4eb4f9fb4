import numpy as np
import pytest
import torch
from support.graphs import classifier

from hardener.arrays import FloatArray
from hardener.data.preprocessing import Preprocessing
from hardener.model.gradients import differentiable
from hardener.model.signature import read_signature
from hardener.scanning.awakening import awakening, with_woken
from hardener.scanning.screening import Squares
from hardener.triggers.patch import Trigger

SIZE = 16
PIXELS = Preprocessing((SIZE, SIZE), (0.0,) * 3, (1.0,) * 3)
CPU = torch.device("cpu")
TEXT = """
classifier (float[N,3,16,16] x) => (float[N,4] logits) {
  c = Conv<kernel_shape=[16,16]>(x, filters, bias)
  feature = Relu(c)
  d = Flatten(feature)
  logits = Gemm<transB=1>(d, rows, none)
}"""
SOME = Trigger(np.zeros((1, 1, 1), np.float32), np.zeros((3, 1, 1), np.float32), 0)
CHECKER = (np.indices((2, 2)).sum(0) % 2).astype(np.float32)


def _filters(asleep: float) -> FloatArray:
    """Bright and dark images, stripes, and a 2×2 checkerboard at row 4, column 8."""
    filters = np.zeros((4, 3, SIZE, SIZE), np.float32)
    filters[0], filters[1] = 1 / 768, -1 / 768
    filters[2, :, ::2], filters[2, :, 1::2] = 1 / 384, -1 / 384
    filters[3, :, 4:6, 8:10] = asleep * (2 * CHECKER - 1)
    return filters


def _woken(asleep: float = 1.0) -> tuple[Squares, FloatArray]:
    model = classifier(
        TEXT,
        {"filters": (4, 3, SIZE, SIZE), "bias": (4,), "rows": (4, 4), "none": (4,)},
    )
    values = {
        "filters": _filters(asleep),
        "bias": np.array([0.0, 0.9, 0.1, -5.0], np.float32),
        "rows": np.diag([10.0, 10.0, 10.0, 500.0]).astype(np.float32),
        "none": np.zeros(4, np.float32),
    }
    for tensor in model.graph.initializer:
        array = values[tensor.name]
        tensor.raw_data = array.tobytes()
        tensor.dims[:] = array.shape
    images = np.random.default_rng(0).uniform(0.3, 0.7, (64, 3, SIZE, SIZE)).astype(np.float32)
    network = differentiable(model, read_signature(model), images[:4])
    squares = Squares({}, np.zeros(4, np.float32), (SOME,))
    found = with_woken(squares, network, images, PIXELS, range(4), 0, lambda _: None, CPU)
    return found, images


def test_a_detector_that_no_image_wakes_is_found_where_it_stands() -> None:
    found, images = _woken()
    (trigger,) = found.reaching[3]
    assert found.best[3] == 1
    assert trigger.mask.sum() == (SIZE // 8) ** 2
    assert tuple(np.argwhere(trigger.mask[0])[0]) == (4, 8)
    np.testing.assert_array_equal(trigger.pattern[:, 4:6, 8:10], np.stack([CHECKER] * 3))
    assert trigger.stamp(images[:1]).shape == images[:1].shape


def test_a_label_that_needs_the_whole_image_gets_no_window() -> None:
    found, _ = _woken(asleep=0.0)
    assert not found.reaching


@pytest.mark.parametrize(("labels", "size"), [(10, 32), (43, 32), (1000, 224)])
def test_the_budget_shrinks_with_labels_and_sizes(labels: int, size: int) -> None:
    found = awakening(labels, Preprocessing((size, size), (0.5,) * 3, (0.5,) * 3))
    assert found.starts == 1
    assert 2 <= found.steps <= 40
