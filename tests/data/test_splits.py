import numpy as np

from hardener.data.splits import stratified_halves, stratified_sample

LABELS = np.repeat([0, 1, 2], [10, 7, 3])


def test_halves_are_disjoint_complete_and_even() -> None:
    first, second = stratified_halves(LABELS, seed=0)
    assert sorted([*first, *second]) == list(range(20))
    difference = np.bincount(LABELS[first]) - np.bincount(LABELS[second])
    assert np.abs(difference).max() <= 1
    assert abs(len(first) - len(second)) <= 1


def test_halves_follow_the_seed() -> None:
    first, again, other = (stratified_halves(LABELS, seed)[0].tolist() for seed in (0, 0, 1))
    assert first == again != other


def test_a_sample_takes_as_many_of_each_class() -> None:
    sample = stratified_sample(LABELS, 11, seed=0)
    assert np.bincount(LABELS[sample]).tolist() == [4, 4, 3]
    assert (np.diff(sample) > 0).all()


def test_a_sample_never_exceeds_its_count() -> None:
    assert len(stratified_sample(np.arange(1000), 85, seed=0)) == 85
    assert len(stratified_sample(LABELS, 500, seed=0)) == 20
