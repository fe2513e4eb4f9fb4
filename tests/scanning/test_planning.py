from hardener.scanning.planning import BUDGET_VALUES, plan_for
from hardener.scanning.searches.patches import PATCHES

LARGE, SMALL = 3 * 224 * 224, 3 * 32 * 32


def _gradient_values(labels: int, image_values: int) -> int:
    plan = plan_for(labels, image_values)
    assert plan is not None
    screening = sum(r.labels * r.steps * r.images for r in plan.rounds)
    return image_values * (screening + 240 * plan.images_per_step * plan.searched)


def test_few_labels_need_no_plan() -> None:
    assert plan_for(64, LARGE) is None
    assert plan_for(65, SMALL) is not None


def test_a_plan_keeps_the_budget() -> None:
    for labels, image_values in ((65, SMALL), (100, SMALL), (1000, LARGE), (1000, SMALL)):
        assert _gradient_values(labels, image_values) <= BUDGET_VALUES


def test_every_label_is_screened_and_fewer_than_searched_never_go_on() -> None:
    for labels, image_values in ((65, SMALL), (1000, LARGE), (20_000, LARGE)):
        plan = plan_for(labels, image_values)
        assert plan is not None
        assert plan.rounds[0].labels == labels
        assert plan.searched <= plan.rounds[1].labels < labels
        assert 8 <= plan.references < plan.searched <= 64


def test_large_images_are_searched_with_fewer_and_small_ones_as_ever() -> None:
    large, small = plan_for(1000, LARGE), plan_for(1000, SMALL)
    assert large is not None
    assert small is not None
    assert large.settings(PATCHES).images_per_step == 2
    assert large.settings(PATCHES).steps == small.settings(PATCHES).steps == PATCHES.steps
    assert small.settings(PATCHES).images_per_step == PATCHES.images_per_step
    assert large.searched < small.searched
