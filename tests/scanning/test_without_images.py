from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from support.graphs import classifier

from hardener.documents.scan import LastLayerEvidence, MarginEvidence
from hardener.scanning.calibration import shipped
from hardener.scanning.detectors.inversion import inversion_finding
from hardener.scanning.detectors.last_layer import last_layer_finding
from hardener.scanning.detectors.margins import margin_finding
from hardener.scanning.evidence import Evidence
from hardener.scanning.finding import Finding
from hardener.scanning.scan import scan
from hardener.scanning.searches.table import SEARCHES
from hardener.scanning.verdict import judge, weigh

ROWS = LastLayerEvidence(mean_weights=(), anomaly_indices=(*[0.0] * 19, 40.0), suspect=19)


CALIBRATION = shipped()


def test_the_stronger_of_margins_and_weights_counts_for_a_label() -> None:
    margins = MarginEvidence(largest=(), suspect=3, p_value=1e-25)
    findings = [margin_finding(margins, 20, CALIBRATION), last_layer_finding(ROWS, CALIBRATION)]
    found = weigh(findings).untried
    assert findings[0].scores is not None
    assert findings[1].scores is not None
    assert found[3] == findings[0].scores[3] > 0.9
    assert found[19] == findings[1].scores[19] > 0.9


def test_a_label_that_stands_out_and_was_not_searched_is_named() -> None:
    even = np.linspace(80, 120, 10).astype(np.float32)
    evidence = [Evidence("patch", even, np.ones_like(even))]
    last_layer = last_layer_finding(ROWS, CALIBRATION)

    def inversion(labels: range) -> Finding:
        return inversion_finding(labels, evidence, classes=20, pixels=1024, calibration=CALIBRATION)

    def reasons(labels: range) -> tuple[str, ...]:
        findings = [inversion(labels), last_layer]
        judgement = judge(findings, weigh(findings))
        assert judgement.verdict == "inconclusive"
        return judgement.reasons

    said = "label 19 stands out in the network itself and its triggers were not searched"
    assert said in reasons(range(10))
    assert said not in reasons(range(10, 20))


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
        OVERFLOWING, {**shapes, "difference": (6, 1, 1, 2), "bound": 0.35, "steep": 200.0}
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
        budgets={kind: replace(one.settings, steps=3) for kind, one in SEARCHES.items()},
    )
    assert found.margins is None
    assert found.verdict == "inconclusive"
    assert "margins were not measured" in found.reasons
