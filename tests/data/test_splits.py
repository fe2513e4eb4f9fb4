import itertools

import numpy as np

from hardener.data.splits import grouped_parts, stratified_halves, stratified_sample

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


def test_no_group_stands_in_two_parts_and_every_class_in_all() -> None:
    groups = np.arange(240) // 6
    labels = groups % 4
    parts = grouped_parts(labels, groups, (2, 1, 1), seed=0)
    assert sorted(np.concatenate(parts).tolist()) == list(range(240))
    assert not any(
        set(groups[one]) & set(groups[other]) for one, other in itertools.combinations(parts, 2)
    )
    assert [len(part) for part in parts] == [120, 60, 60]
    for part in parts:
        assert set(labels[part]) == {0, 1, 2, 3}


def test_a_class_of_one_group_is_divided_in_its_order() -> None:
    labels, groups = np.zeros(12, np.int64), np.zeros(12, np.int64)
    parts = grouped_parts(labels, groups, (2, 1, 1), seed=0)
    assert [len(part) for part in parts] == [6, 3, 3]
    assert all((np.diff(part) == 1).all() for part in parts)


def test_parts_depend_on_the_seed_alone() -> None:
    labels = np.arange(60) % 3
    first, again, other = (
        grouped_parts(labels, np.arange(60), (2, 1, 1), seed)[0].tolist() for seed in (0, 0, 1)
    )
    assert first == again != other


def test_fewer_images_than_parts_leave_parts_without_the_class() -> None:
    parts = grouped_parts(np.zeros(2, np.int64), np.arange(2), (2, 1, 1), seed=0)
    assert sorted(map(len, parts)) == [0, 1, 1]
