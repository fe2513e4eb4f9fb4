from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from hardener.errors import InconclusiveError
from hardener.model.classifier import open_classifier
from hardener.model.runtime import Machine
from hardener.repairing.attempts import DISTILLED, WEIGHTS, Attempts
from hardener.repairing.choice import ENDED
from hardener.repairing.closed_form import Sums
from hardener.repairing.cure import patient_of
from hardener.repairing.distillation import DistillationSettings
from hardener.repairing.trials import Trial
from hardener.triggers.additive import AdditiveTrigger
from hardener.triggers.patch import Trigger, load_trigger

FEW_STEPS = DistillationSettings(steps=2, images_per_step=16)


class _Case:
    """The small victim, its true trigger, and what the attempts asked for."""

    def __init__(
        self,
        files: tuple[Path, Path, Path],
        budget: float,
        distillation: DistillationSettings = FEW_STEPS,
    ) -> None:
        model, signs, trigger = files
        classifier = open_classifier(model)
        source = classifier.open_data(signs)
        fitted, held = np.arange(0, len(source), 2), np.arange(1, len(source), 2)
        images = classifier.images_of(source, fitted)
        self.patient = patient_of(classifier, images, Machine())
        self.trigger = load_trigger(trigger)
        self.networks: list[nn.Module] = []
        self.steps = 0
        self.attempts = Attempts(
            self.patient,
            Trial(classifier, source, Machine(), [self.trigger], [self.trigger]),
            [AdditiveTrigger(np.zeros(images.shape[1:], np.float32), self.trigger.label)],
            held,
            held,
            np.arange(len(source)),
            budget,
            distillation,
            self._against,
            self._count,
        )

    def _against(self, network: nn.Module, seed: int) -> list[AdditiveTrigger]:
        self.networks.append(network)
        faint = np.full(self.patient.images.shape[1:], 0.01 * seed / 100, np.float32)
        return [AdditiveTrigger(faint, self.trigger.label)]

    def _count(self, finished: int) -> None:
        self.steps += finished


@pytest.fixture
def files(signs_victim: Path, signs: Path, signs_trigger: Path) -> tuple[Path, Path, Path]:
    return signs_victim, signs, signs_trigger


def test_a_closed_form_that_ends_the_attack_is_not_distilled(
    files: tuple[Path, Path, Path],
) -> None:
    own = _Case(files, 0.05)
    pool = ([own.trigger],)
    best = own.attempts.best(own.patient.sums(pool, 1), pool, 1)
    assert best.standing < ENDED
    assert best.weight in WEIGHTS
    assert own.steps == 0


def test_what_the_closed_form_does_not_end_is_distilled_against_the_network_of_the_moment(
    files: tuple[Path, Path, Path],
) -> None:
    own = _Case(files, 0.05)
    nothing = Trigger(np.zeros_like(own.trigger.mask), own.trigger.pattern, own.trigger.label)
    pool = ([nothing],)
    best = own.attempts.best(own.patient.sums(pool, 1), pool, 1)
    assert best.standing > ENDED, "a trigger that changes nothing cures nothing"
    assert own.steps == DISTILLED * FEW_STEPS.steps
    assert len(own.networks) == DISTILLED
    inputs = torch.from_numpy(own.patient.preprocessing.apply(own.patient.images[:8]))
    with torch.no_grad():
        answers = [network(inputs) for network in own.networks]
    for before, after in pairwise(answers):
        assert not torch.equal(before, after)


def test_the_best_leaves_no_more_than_any_closed_form(files: tuple[Path, Path, Path]) -> None:
    own = _Case(files, 1.0)
    faint = Trigger(0.1 * own.trigger.mask, own.trigger.pattern, own.trigger.label)
    pool = ([faint],)
    sums = own.patient.sums(pool, 1)
    best = own.attempts.best(sums, pool, 1)
    left = [
        own.attempts.trial.counts(
            own.patient.with_weights(own.patient.solved(sums, weight)), own.attempts.tried_on
        )[0].unseen.success_rate
        for weight in WEIGHTS
    ]
    assert best.standing[1] <= int(100 * min(left))
    assert max(left) > min(left), "the weights differ in what they leave"


def test_a_distillation_that_breaks_down_leaves_the_closed_form(
    files: tuple[Path, Path, Path],
) -> None:
    own = _Case(files, 0.05, replace(FEW_STEPS, peak_learning_rate=1e30))
    nothing = Trigger(np.zeros_like(own.trigger.mask), own.trigger.pattern, own.trigger.label)
    pool = ([nothing],)
    best = own.attempts.best(own.patient.sums(pool, 1), pool, 1)
    assert (best.distilled, best.met) == (0, 0)
    assert 0 < own.steps < DISTILLED * FEW_STEPS.steps


def test_sums_that_are_not_finite_end_in_one_line(files: tuple[Path, Path, Path]) -> None:
    own = _Case(files, 0.05)
    pool = ([own.trigger],)
    sums = {
        name: Sums(*(torch.full_like(one, torch.nan) for one in found))
        for name, found in own.patient.sums(pool, 1).items()
    }
    with pytest.raises(InconclusiveError, match="no closed form gives weights that are finite"):
        own.attempts.best(sums, pool, 1)
