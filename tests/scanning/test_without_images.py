from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from support.graphs import classifier

from hardener.documents.scan import LastLayerEvidence, MarginEvidence
from hardener.scanning.calibration import shipped
from hardener.scanning.scan import scan
from hardener.scanning.searches.additive import ADDITIVE
from hardener.scanning.searches.patches import PATCHES
from hardener.scanning.searches.warps import WARPS
from hardener.scanning.without_images import WithoutImages, accused_unsearched, label_scores

ROWS = LastLayerEvidence(mean_weights=(), anomaly_indices=(*[0.0] * 19, 40.0), suspect=19)


def test_the_stronger_of_margins_and_weights_counts_for_a_label() -> None:
    margins = MarginEvidence(largest=(), suspect=3, p_value=1e-25)
    scores = label_scores(WithoutImages(margins, ROWS, ()), 20)
    assert set(np.flatnonzero(scores >= shipped().backdoored_from)) == {3, 19}


def test_a_label_that_stands_out_and_was_not_searched_is_named() -> None:
    scores = label_scores(WithoutImages(None, ROWS, ()), 20)
    (said,) = accused_unsearched(scores, range(10))
    assert said.startswith("label 19 stands out")
    assert accused_unsearched(scores, [19]) == ()


OVERFLOWING = """
classifier (float[N,3,8,8] x) => (float[N,9] logits) {
  c = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(x, w1, b1)
  feature = Relu(c)
  d = Flatten(feature)
  plain = Gemm<transB=1>(d, w2, b2)
  edges = Conv<kernel_shape=[1,2], group=6>(feature, difference)
  strengths = Abs(edges)
  rough = ReduceMean<axes=[1,2,3], keepdims=0>(strengths)
  over = Sub(rough, bound)
  scaled = Mul(over, steep)
  burst = Exp(scaled)
  axis = Constant<value = int64[1] {1}>()
  column = Unsqueeze(burst, axis)
  logits = Add(plain, column)
}"""


def test_margins_that_are_not_finite_keep_a_model_from_being_clean(tmp_path: Path) -> None:
    shapes = {"w1": (6, 3, 3, 3), "b1": (6,), "w2": (9, 384), "b2": (9,)}
    model = classifier(
        OVERFLOWING, {**shapes, "difference": (6, 1, 1, 2), "bound": 0.35, "steep": 1000.0}
    )
    for tensor in model.graph.initializer:
        if tensor.name == "difference":
            values = np.array([1, -1] * 6, np.float32).reshape(6, 1, 1, 2)
            tensor.CopyFrom(onnx.numpy_helper.from_array(values, "difference"))
    path = tmp_path / "m.onnx"
    onnx.save(model, path)
    even = np.random.default_rng(0).integers(0, 256, (180, 1, 1, 3)).astype(np.uint8)
    np.savez(tmp_path / "d.npz", images=even.repeat(8, 1).repeat(8, 2), labels=np.arange(180) % 9)
    found = scan(
        path,
        tmp_path / "d.npz",
        tmp_path / "scan",
        preprocessing=[{"size": (8, 8), "mean": (0.0,) * 3, "std": (1.0,) * 3}],
        patch_inversion=replace(PATCHES, steps=3),
        additive_inversion=replace(ADDITIVE, steps=3),
        warp_inversion=replace(WARPS, steps=3),
    )
    assert found.margins is None
    assert found.verdict == "inconclusive"
    assert "margins were not measured" in found.reasons
