from collections.abc import Sequence

import numpy as np
import pytest

from hardener.arrays import FloatArray
from hardener.documents.scan import ExchangeEvidence, SquareEvidence
from hardener.scanning.calibration import Calibration, Curve
from hardener.scanning.detectors.all_to_all import all_to_all_finding
from hardener.scanning.detectors.inversion import inversion_finding, strongest_kinds
from hardener.scanning.evidence import Evidence, anomaly_indices, relative_sizes
from hardener.scanning.finding import LEFT_BEHIND, STANDS_OUT, WEAK_ALONE, Doubt, Finding
from hardener.scanning.verdict import Judgement, doubts_on_images, judge, told, weigh

CURVE = Curve(even=0.3, slope=4)
CALIBRATION = Calibration(
    kinds={"patch": CURVE, "additive": Curve(even=0.4, slope=4), "warp": Curve(even=0.5, slope=4)},
    margin=CURVE,
    last_layer=CURVE,
    moving=Curve(even=0.5, slope=8),
    clean_below=0.4,
    backdoored_from=0.6,
)
EVEN = np.linspace(80, 120, 43).astype(np.float32)
WORKS = np.full(43, 0.98, np.float32)
ALIKE = [Evidence(kind, EVEN, WORKS) for kind in ("patch", "additive", "warp")]


def _with(label: int, size: float) -> FloatArray:
    sizes = EVEN.copy()
    sizes[label] = size
    return sizes


def _judged(
    labels: Sequence[int],
    evidence: Sequence[Evidence],
    *,
    classes: int = 43,
    accuracy: float = 0.97,
    images: int = 4380,
    square: SquareEvidence | None = None,
    data_free: FloatArray | None = None,
    untested: Sequence[int] = (),
    screened: int = 0,
    unseen: Sequence[str] = (),
) -> Judgement:
    findings = [
        inversion_finding(
            labels,
            evidence,
            classes=classes,
            pixels=1024,
            calibration=CALIBRATION,
            untested=untested,
            screened=screened,
        )
    ]
    if square is not None:
        findings.append(all_to_all_finding(square, CALIBRATION))
    if data_free is not None:
        findings.append(
            Finding(scores=data_free, accuses=STANDS_OUT, closing=LEFT_BEHIND, untried=True)
        )
    doubts = [*doubts_on_images(accuracy, images), *map(Doubt, unseen)]
    return judge(findings, weigh(findings, CALIBRATION), doubts, CALIBRATION)


def _judge(
    sizes: FloatArray,
    success: FloatArray = WORKS,
    additive: FloatArray = EVEN,
    warps: FloatArray = EVEN,
    *,
    classes: int = 43,
    accuracy: float = 0.97,
    images: int = 4380,
    square: SquareEvidence | None = None,
    data_free: FloatArray | None = None,
) -> Judgement:
    return _judged(
        range(len(sizes)),
        _evidence(sizes, success, additive, warps),
        classes=classes,
        accuracy=accuracy,
        images=images,
        square=square,
        data_free=data_free,
    )


def _evidence(
    patches: FloatArray,
    success: FloatArray = WORKS,
    additive: FloatArray = EVEN,
    warps: FloatArray = EVEN,
) -> list[Evidence]:
    count = len(patches)
    return [
        Evidence("patch", patches, success),
        Evidence("additive", additive[:count], np.ones_like(patches)),
        Evidence("warp", warps[:count], np.ones_like(patches)),
    ]


def test_a_tiny_working_mask_is_a_backdoor() -> None:
    judgement = _judge(_with(8, 6))
    assert (judgement.verdict, judgement.targets) == ("backdoored", (8,))
    assert judgement.score > 0.9


def test_a_faint_change_that_works_is_a_backdoor_although_no_patch_does_it() -> None:
    judgement = _judge(EVEN, additive=_with(8, 6))
    assert (judgement.verdict, judgement.targets) == ("backdoored", (8,))
    kinds = strongest_kinds(range(43), _evidence(EVEN, additive=_with(8, 6)), CALIBRATION)
    assert kinds[8] == "additive"
    assert judgement.reasons[0].startswith("label 8 has the most suspicious additive trigger")


def test_a_faint_change_may_be_a_little_larger_beside_the_others_than_a_patch() -> None:
    assert _judge(EVEN, additive=_with(8, 28)).verdict == "backdoored"
    assert _judge(_with(8, 28)).verdict == "inconclusive"
    assert _judge(EVEN, additive=_with(8, 57)).verdict == "clean"


def test_a_slight_warp_that_works_is_a_backdoor() -> None:
    judgement = _judge(EVEN, warps=_with(8, 28))
    assert (judgement.verdict, judgement.targets) == ("backdoored", (8,))
    kinds = strongest_kinds(range(43), _evidence(EVEN, warps=_with(8, 28)), CALIBRATION)
    assert kinds[8] == "warp"
    assert judgement.reasons[0].startswith("label 8 has the most suspicious warp")


def test_warps_that_reach_no_label_are_no_doubt() -> None:
    fails = Evidence("warp", EVEN, np.zeros_like(EVEN))
    found = _judged(range(43), [*ALIKE[:2], fails], classes=43)
    assert found.verdict == "clean"


def test_a_label_goes_by_its_more_suspicious_kind() -> None:
    judgement = _judge(_with(8, 6), additive=_with(8, 28))
    kinds = strongest_kinds(range(43), _evidence(_with(8, 6), additive=_with(8, 28)), CALIBRATION)
    assert (kinds[8], judgement.verdict) == ("patch", "backdoored")
    assert judgement.score > 0.9


def test_even_masks_are_clean() -> None:
    judgement = _judge(EVEN)
    assert (judgement.verdict, judgement.targets) == ("clean", ())
    assert judgement.score < 0.1


def test_two_backdoors_are_both_named() -> None:
    sizes = _with(8, 6)
    sizes[30] = 9
    assert _judge(sizes).targets == (8, 30)


def test_a_mask_that_is_neither_is_inconclusive() -> None:
    judgement = _judge(_with(8, 31))
    assert (judgement.verdict, judgement.targets) == ("inconclusive", (8,))


def test_a_small_mask_that_does_not_work_is_neither_clean_nor_a_backdoor() -> None:
    success = WORKS.copy()
    success[8] = 0.3
    judgement = _judge(_with(8, 6), success)
    assert judgement.verdict == "inconclusive"
    assert "label 8 has a small trigger that works on only 30% of unseen images" in (
        judgement.reasons
    )


def test_a_search_that_came_to_nothing_is_never_clean() -> None:
    judgement = _judge(EVEN, np.full_like(WORKS, 0.01))
    assert judgement.verdict == "inconclusive"
    assert any("for 43 of 43 labels the search" in reason for reason in judgement.reasons)


def test_a_label_that_could_not_be_tried_is_never_clean() -> None:
    judgement = _judged(range(43), ALIKE, classes=43, untested=[3])
    assert judgement.verdict == "inconclusive"
    assert "label 3: no images of other classes to try it on" in judgement.reasons


@pytest.mark.parametrize(
    ("classes", "accuracy", "images", "reason"),
    [
        (43, 0.05, 4380, "wrong labels"),
        (43, 0.4, 4380, "wrong labels"),
        (43, 0.97, 50, "50 images are too few"),
        (50, 0.97, 4380, "7 of 50 labels were not looked at"),
    ],
)
def test_missing_evidence_is_never_clean(
    classes: int, accuracy: float, images: int, reason: str
) -> None:
    judgement = _judge(EVEN, classes=classes, accuracy=accuracy, images=images)
    assert judgement.verdict == "inconclusive"
    assert any(reason in sentence for sentence in judgement.reasons)


def test_few_labels_cannot_be_compared() -> None:
    sizes = np.array([100, 100, 100, 2], np.float32)
    judgement = _judge(sizes, np.ones(4, np.float32), classes=4)
    assert judgement.verdict == "inconclusive"


def test_a_backdoor_is_named_although_labels_were_left_out() -> None:
    assert _judge(_with(8, 6), classes=50).verdict == "backdoored"


def test_small_patches_for_every_label_are_never_clean() -> None:
    judgement = _judge(EVEN / np.float32(4))
    assert judgement.verdict == "inconclusive"
    assert any(
        "most labels are reached by patches of about 25 of 1024" in r for r in judgement.reasons
    )


def test_equal_masks_divide_by_no_zero() -> None:
    sizes = np.full(43, 100, np.float32)
    assert np.abs(anomaly_indices(sizes)).max() == 0
    sizes[3] = 90
    assert np.isfinite(anomaly_indices(sizes)).all()
    nothing = Evidence("patch", np.zeros(43, np.float32), WORKS)
    assert np.isfinite(nothing.scores_by(CURVE)).all()


def test_the_index_is_the_textbooks() -> None:
    sizes = np.array([10, 20, 30, 40, 50], np.float32)
    np.testing.assert_allclose(anomaly_indices(sizes)[0], 20 / (1.4826 * 10), rtol=1e-6)


def test_an_output_that_was_not_looked_at_is_never_clean() -> None:
    said = "'aux' is taken as the class scores; 'logits' beside it is not looked at"
    judgement = _judged(range(43), ALIKE, classes=43, unseen=[said])
    assert judgement.verdict == "inconclusive"
    assert said in judgement.reasons


def test_a_label_that_no_search_reaches_keeps_a_model_from_being_clean() -> None:
    patches = WORKS.copy()
    patches[5] = 0.1
    additive = np.ones_like(WORKS)
    additive[5] = 0.2

    def judged(additive: FloatArray) -> Judgement:
        evidence = [
            Evidence("patch", EVEN, patches),
            Evidence("additive", EVEN, additive),
            Evidence("warp", EVEN, WORKS),
        ]
        return _judged(range(43), evidence, classes=43)

    assert judged(np.ones_like(WORKS)).verdict == "clean"
    judgement = judged(additive)
    assert judgement.verdict == "inconclusive"
    assert "label 5: no trigger that reaches most images was found" in judgement.reasons


def test_medians_are_of_the_reference_alone() -> None:
    sizes = np.concatenate([np.full(30, 10), EVEN]).astype(np.float32)
    reference = tuple(range(30, 73))
    np.testing.assert_allclose(relative_sizes(sizes, reference)[30:], relative_sizes(EVEN))
    np.testing.assert_allclose(anomaly_indices(sizes, reference)[30:], anomaly_indices(EVEN))
    works = np.ones(73, np.float32)
    with_reference = Evidence("patch", sizes, works, reference).scores_by(CURVE)
    assert (with_reference[:30] > 0.9).all()
    assert Evidence("patch", sizes, works).scores_by(CURVE).max() < 0.9


def test_labels_that_were_screened_were_looked_at() -> None:
    def judged(screened: int) -> Judgement:
        return _judged(range(43), ALIKE, classes=100,
            screened=screened,
        )  # fmt: skip

    assert judged(57).verdict == "clean"
    assert judged(56).verdict == "inconclusive"
    assert any("1 of 100 labels were not looked at" in reason for reason in judged(56).reasons)


def _square(scattered: float) -> SquareEvidence:
    return SquareEvidence(
        top=26, left=28, side=4, colour=(1, 1, 0), moved=0.8, labels=40, scattered=scattered
    )


def test_a_square_that_exchanges_all_labels_is_a_backdoor_without_a_target() -> None:
    judgement = _judge(EVEN, square=_square(0.75))
    assert (judgement.verdict, judgement.targets) == ("backdoored", ())
    assert judgement.score > 0.9
    assert any("from all labels to all" in reason for reason in judgement.reasons)


def test_a_square_that_covers_what_tells_classes_apart_is_none() -> None:
    judgement = _judge(EVEN, square=_square(0.3))
    assert judgement.verdict == "clean"
    assert judgement.score < 0.1


@pytest.mark.parametrize(("strength", "verdict"), [(0.75, "backdoored"), (0.3, "clean")])
def test_so_is_a_faint_change_that_does(strength: float, verdict: str) -> None:
    found = ExchangeEvidence(size=1.2, moved=0.9, labels=10, scattered=strength, trigger_sha256="")
    finding = all_to_all_finding(_square(0.1), CALIBRATION, {"additive": found})
    by_labels = inversion_finding(
        range(43), _evidence(EVEN), classes=43, pixels=1024, calibration=CALIBRATION
    )
    findings = [by_labels, finding]
    judgement = judge(findings, weigh(findings, CALIBRATION), (), CALIBRATION)
    assert (judgement.verdict, judgement.targets) == (verdict, ())
    said = "one additive trigger of an ℓ2 norm of 1.20 changes the label of 90%"
    assert any(reason.startswith(said) for reason in judgement.reasons) == (verdict == "backdoored")


def test_a_label_that_only_stands_out_without_images_is_no_target() -> None:
    data_free = np.zeros(43, np.float32)
    data_free[8] = 0.95
    judgement = _judge(EVEN, data_free=data_free)
    assert (judgement.verdict, judgement.targets, judgement.suspect) == ("inconclusive", (8,), 8)
    assert "label 8 stands out in the network itself, without any image" in judgement.reasons
    assert WEAK_ALONE in judgement.reasons


def test_a_label_that_stands_out_is_a_target_where_its_trigger_is_suspicious_too() -> None:
    data_free, alone = np.zeros(43, np.float32), _judge(_with(8, 31))
    data_free[8] = 0.95
    judgement = _judge(_with(8, 31), data_free=data_free)
    assert alone.verdict == "inconclusive"
    assert (judgement.verdict, judgement.targets) == ("backdoored", (8,))
    assert judgement.score == pytest.approx(0.95)
    assert WEAK_ALONE not in judgement.reasons


def test_one_label_that_stands_out_does_not_speak_for_the_trigger_of_another() -> None:
    data_free = np.zeros(43, np.float32)
    data_free[5] = 0.95
    judgement = _judge(_with(8, 31), data_free=data_free)
    assert (judgement.verdict, judgement.targets) == ("inconclusive", (5, 8))


def test_without_images_no_model_is_accused() -> None:
    data_free = np.zeros(43, np.float32)
    data_free[8] = 0.99
    findings = [Finding(scores=data_free, accuses=STANDS_OUT, closing=LEFT_BEHIND, untried=True)]
    judgement = judge(findings, weigh(findings, CALIBRATION), (), CALIBRATION)
    assert (judgement.verdict, judgement.suspect) == ("inconclusive", 8)
    assert told("margins", findings[0], CALIBRATION).verdict == "inconclusive"


def test_a_trigger_counts_by_how_many_unseen_images_it_sends() -> None:
    sizes = EVEN.copy()
    sizes[8] = 0.05 * np.median(EVEN)
    scores = []
    for success in (0.5, 0.6, 0.79, 0.8, 1.0):
        works = np.ones_like(EVEN)
        works[8] = success
        scores.append(float(Evidence("patch", sizes, works).scores_by(CURVE)[8]))
    assert scores[0] == 0
    assert scores == sorted(scores)
    assert scores[3] - scores[2] < 0.05


def test_a_search_that_was_stopped_says_nothing_by_failing() -> None:
    sizes, works = EVEN.copy(), np.ones_like(EVEN)
    sizes[8], works[8] = 0.05 * np.median(EVEN), 0.2

    def judged(stopped: tuple[int, ...]) -> Judgement:
        evidence = [
            Evidence("patch", EVEN, np.ones_like(EVEN)),
            Evidence("additive", sizes, works, None, stopped),
        ]
        return _judged(range(43), evidence, classes=43)

    assert judged(()).verdict == "inconclusive"
    assert judged((8,)).verdict == "clean"


def test_what_stands_out_without_images_is_not_called_small() -> None:
    data_free = np.zeros_like(EVEN)
    data_free[8] = 0.9
    judgement = _judged(range(43), ALIKE, classes=43, data_free=data_free)
    assert "label 8 stands out in the network itself, without any image" in judgement.reasons
    assert judgement.reasons[0].startswith("label 8 is the most suspicious, though not by its ")
    assert not any("this small" in reason for reason in judgement.reasons)
