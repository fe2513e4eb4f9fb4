import numpy as np

from hardener.measuring.quality import Counts, count, most_successful, rule_of

LOGITS = np.eye(4, dtype=np.float32)[[0, 1, 2, 3, 3, 3]]
LABELS = np.array([0, 1, 0, 3, 2, 1])


def test_hits_and_robust_images_leave_out_the_target_class() -> None:
    assert count(LOGITS, LABELS, 3) == Counts(n=6, correct=3, others=5, hits=2, robust=2)


def test_without_a_target_only_accuracy_is_counted() -> None:
    assert count(LOGITS, LABELS, None) == Counts(n=6, correct=3)


def test_an_attack_that_works_does_not_hide_behind_one_that_fails() -> None:
    fails, works = Counts(100, 0, 90, 0, 88), Counts(100, 0, 80, 16, 60)
    assert most_successful([fails, works]) == works
    assert most_successful([]) == Counts()


def test_counts_add_up() -> None:
    whole = count(LOGITS, LABELS, 3)
    parts = count(LOGITS[:2], LABELS[:2], 3) + count(LOGITS[2:], LABELS[2:], 3)
    assert parts == whole


def test_a_rule_says_of_each_true_label_what_counts() -> None:
    logits = np.eye(4, dtype=np.float32)[[1, 2, 3, 0, 1]]
    labels = np.array([0, 1, 2, 3, 1])
    rule = np.array([1, 2, 0, -1])
    assert count(logits, labels, rule) == Counts(n=5, correct=1, others=4, hits=2, robust=1)


def test_a_rule_is_where_most_images_of_a_label_go() -> None:
    labels = np.array([0, 1, 2, 3] * 3)
    gone = np.array([1, 2, 3, 0] * 3)
    gone[4], gone[5], gone[3::4] = 2, -1, 3
    gone[[2, 6]] = 2
    assert rule_of(labels, gone, 5).tolist() == [1, 2, -1, -1, -1]
