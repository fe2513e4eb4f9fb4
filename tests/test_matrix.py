"""The quick part of `benchmarks.matrix`: one model of each kind, proved by numbers."""

import pytest

from benchmarks.matrix import tried
from benchmarks.zoo import forms, numbers, torchvision_models
from benchmarks.zoo.cases import Case

QUICK = {
    "opset: 9, script",
    "opset: 13, script",
    "opset: 18, dynamo",
    "opset: 25, dynamo",
    "ending: softmax",
    "ending: logits and softmax",
    "pooling: max, dynamo",
    "pooling: mean, script",
    "fixed batch: 1, script",
    "fixed batch: 4, dynamo",
    "layout: NHWC input, script",
    "BatchNorm: separate",
    "storage: external data",
    "float16: small, by torch",
    "float16: small, float32 at the border",
    "bfloat16: small",
    "int8 QDQ: small",
    "int8 QDQ, by channel, int8: small",
    "int8 QOperator: small",
    "int8 QOperator, by channel: squeezenet1_1",
    "int8 dynamic: small",
    "optimised by onnxruntime, extended: small",
    "optimised by onnxruntime, all: small",
    "torchvision, script: densenet121",
    "torchvision, script: googlenet",
    "torchvision, script: mobilenet_v3_small",
    "torchvision, script: resnet18",
    "torchvision, script: shufflenet_v2_x0_5",
    "torchvision, script: swin_t",
    "torchvision, dynamo: squeezenet1_1",
}
CASES = {
    case.title: case
    for case in (*forms.cases(), *numbers.cases(), *torchvision_models.cases())
    if case.title in QUICK
}


def test_every_quick_case_exists() -> None:
    assert set(CASES) == QUICK


def test_the_matrix_holds_every_torchvision_architecture_through_both_exporters() -> None:
    assert len(torchvision_models.cases()) == 160


@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_rewrites_equal_the_simulated_pruning_and_gradients_are_there(case: Case) -> None:
    row = tried(case)
    expected = "supported" if case.refusal is None else "refused as expected"
    assert row.outcome == expected, (row.proof.failures, row.proof.refusals)
    assert "scan" not in (row.proof.refusals or {})
