import pytest
from support.graphs import PLAIN, PLAIN_SHAPES, Shapes, classifier

from hardener.errors import ModelError
from hardener.model.signature import read_signature

BOTH = "(float[N,5] logits, float[N,5] other)"


def _two_outputs(line: str, after: str) -> str:
    text = PLAIN.replace("(float[N,5] logits)", BOTH)
    return text.replace(after, f"{after}\n  {line}")


def test_scores_before_and_after_a_softmax_are_one() -> None:
    text = _two_outputs("other = Softmax<axis=1>(logits)", "logits = Gemm<transB=1>(d, w2, b2)")
    signature = read_signature(classifier(text, dict(PLAIN_SHAPES)))
    assert (signature.output, signature.logits, signature.notes) == ("logits", "logits", ())


def test_a_feature_vector_beside_the_scores_is_not_taken_for_them() -> None:
    text = PLAIN.replace("(float[N,5] logits)", "(float[N,96] d, float[N,5] logits)")
    signature = read_signature(classifier(text, dict(PLAIN_SHAPES)))
    assert signature.output == "logits"
    assert signature.notes == ("'logits' is taken as the class scores; 'd' beside it is not "
                               "looked at",)  # fmt: skip


def test_an_auxiliary_classifier_that_leaves_early_is_not_taken() -> None:
    early = "e = GlobalAveragePool(feature)\n  f = Flatten(e)\n  other = Gemm<transB=1>(f, w3, b2)"
    deep = "\n  ".join(
        f"k{i} = Conv<kernel_shape=[1,1]>({'feature' if i == 0 else f'k{i - 1}'}, w4)"
        for i in range(5)
    )
    text = _two_outputs(f"{early}\n  {deep}", "feature = Relu(c)")
    text = text.replace("(feature)\n  d =", "(k4)\n  d =")
    shapes: Shapes = {**PLAIN_SHAPES, "w3": (5, 6), "w4": (6, 6, 1, 1)}
    signature = read_signature(classifier(text, shapes))
    assert signature.output == "logits"
    assert "'other' beside it is not looked at" in signature.notes[0]


def test_heads_on_the_same_features_are_not_chosen_between() -> None:
    text = _two_outputs("other = Gemm<transB=1>(d, w3, b2)", "d = Flatten(p)")
    with pytest.raises(ModelError, match=r"several outputs could be .*'logits', 'other'"):
        read_signature(classifier(text, {**PLAIN_SHAPES, "w3": (5, 96)}))


def test_an_output_of_another_form_is_not_passed_over_in_silence() -> None:
    text = _two_outputs("k = Gemm<transB=1>(d, w3, b2)\n  other = Reshape(k, form)",
                        "d = Flatten(p)")  # fmt: skip
    text = text.replace("float[N,5] other", "float[N,1,5] other")
    shapes: Shapes = {**PLAIN_SHAPES, "w3": (5, 96), "form": [0, 1, 5]}
    signature = read_signature(classifier(text, shapes))
    assert signature.output == "logits"
    assert "'other' beside it is not looked at" in signature.notes[0]


def test_scores_that_are_computed_from_scores_are_not_chosen_between() -> None:
    text = _two_outputs("other = Neg(logits)", "logits = Gemm<transB=1>(d, w2, b2)")
    with pytest.raises(ModelError, match=r"several outputs could be .*'logits', 'other'"):
        read_signature(classifier(text, dict(PLAIN_SHAPES)))
