"""The cure of an attack from all labels to all, whose triggers exchange labels.

There is no label to search triggers for. What exchanges labels is sought as the scan does, for
each kind of trigger that it named; most of what is found is fitted on, and what is apart from that
measures. A trigger succeeds with an image that goes where the model as it came sent most images of
its label; where it gives more than half of all images another wrong label, with those, too.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
import onnx
from torch import nn

from hardener.arrays import IntArray
from hardener.documents.repair import NO_TRIGGER
from hardener.errors import InconclusiveError
from hardener.measuring.quality import rule_of
from hardener.measuring.suitability import check_accuracy
from hardener.progress import Progress, counting
from hardener.repairing.attempts import DISTILLED
from hardener.repairing.choice import another_round_helps
from hardener.repairing.closed_form import Sums
from hardener.repairing.course import Course, Cure
from hardener.repairing.hunting import Hunt, hunts_of
from hardener.repairing.residual import Probes
from hardener.repairing.trials import Trial, round_of
from hardener.scanning.calibration import shipped
from hardener.scanning.screening import scattered
from hardener.triggers.additive import AdditiveTrigger
from hardener.triggers.families import family_of
from hardener.triggers.family import SyntheticTrigger
from hardener.triggers.patch import Trigger

_AGAINST = 8
"""Triggers of one kind that are sought on a network before each distillation of it."""


@dataclass(frozen=True, eq=False)
class Exchanges(Course):
    """A course of cures against triggers that exchange labels."""

    def run(
        self, triggers: Sequence[SyntheticTrigger], most: int, progress: Progress, *, force: bool
    ) -> tuple[list[Cure], Trial]:
        """Cures until nothing exchanges labels any more, or another round does not help.

        Args:
            triggers: not asked for: what exchanges labels is sought anew.
            most: at most so many rounds.
            progress: told how far it is.
            force: goes on where the model does not know the images.

        Returns:
            The model as it came and every cure, and what measured them.

        Raises:
            InconclusiveError: the model does not know the images, or too little exchanges labels
                to measure a cure by.
        """
        proto = self.patient.proto
        searches = 1 + most * (1 + DISTILLED)
        hunts = hunts_of(self.scanned, self.patient, self.searched_images, searches, progress)
        mending = counting(progress, "distilling", most * DISTILLED * self.distillation.steps)
        working, measuring = self._found(hunts)
        trial = self._trial(measuring)
        attacked, _ = trial.counts(proto, self.chosen_on)
        if not force:
            accuracy = attacked.clean.correct / attacked.clean.n
            check_accuracy(accuracy, self.scanned.accuracy, "these images")
        cures = [Cure(proto, round_of(attacked, self.scanned.score, 0), attacked.right)]

        def apart(hunt: Hunt, found: Sequence[SyntheticTrigger]) -> list[SyntheticTrigger]:
            return [one for one in found if hunt.is_apart(one, measuring[hunt])]

        def against(network: nn.Module, seed: int) -> list[SyntheticTrigger]:
            return [
                more
                for hunt in working
                for one in apart(hunt, hunt.found(network, seed))[:_AGAINST]
                for more in (one, *hunt.stronger(one))
            ]

        attempts = self.attempts(trial, (), against, mending)
        known: list[SyntheticTrigger] = []

        def add(hunt: Hunt, found: Sequence[SyntheticTrigger]) -> None:
            for one in apart(hunt, found):
                known.extend([one, *hunt.stronger(one)])

        for hunt in working:
            add(hunt, working[hunt])
        sums = dict[str, Sums]()
        for number in range(1, most + 1):
            seed = self.seed + number
            own = self.patient.sums((known,), seed)
            sums = {name: sums[name] + one if sums else one for name, one in own.items()}
            best = attempts.best(sums, (known,), seed)
            proto = self.patient.with_weights(best.weights)
            left = {hunt: hunt.found(best.network, seed) for hunt in working}
            attacked, _ = trial.counts(proto, self.chosen_on)
            strongest = [one for found in left.values() for one in found[:1]]
            scores = map(shipped().moving_score, self._strengths(proto, strongest, self.chosen_on))
            told = len(known) + best.met, best.weight, best.distilled, best.lost
            cures.append(Cure(proto, round_of(attacked, max(scores), *told), attacked.right))
            if not another_round_helps([cure.found for cure in cures]):
                break
            for hunt in working:
                with suppress(InconclusiveError):
                    add(hunt, self._strong(proto, left[hunt], hunt.alike))
        return cures, trial

    def probes(self, _: Sequence[SyntheticTrigger], measured: Trial) -> Probes:
        """What tells how much of the attack is left: triggers that no cure was fitted on.

        Args:
            measured: what measured the rounds.
        """
        named: dict[str, list[SyntheticTrigger]] = {NO_TRIGGER: [self._nothing]}
        for one in measured.unseen:
            named.setdefault(_name(one), []).append(one)
        for one in measured.stronger:
            named.setdefault(f"{_name(one)}, stronger", []).append(one)
        return named

    @cached_property
    def _nothing(self) -> AdditiveTrigger:
        """Stands for images without a trigger; counted by the first measuring trigger's rule."""
        return AdditiveTrigger(np.zeros_like(self.patient.images[0]), 0)

    def _found(
        self, hunts: Sequence[Hunt]
    ) -> tuple[dict[Hunt, list[SyntheticTrigger]], dict[Hunt, list[SyntheticTrigger]]]:
        """What each hunt finds on the model as it came, and what will measure.

        Raises:
            InconclusiveError: no hunt finds something to measure by.
        """
        proto, network = self.patient.proto, self.patient.frozen
        working, measuring = dict[Hunt, list[SyntheticTrigger]](), {}
        failed = list[InconclusiveError]()
        for hunt in hunts:
            strong = partial(self._strong, proto, alike=hunt.alike)
            try:
                found = strong(hunt.found(network, self.seed))
                measuring[hunt] = hunt.measuring(found, self.seed, strong)
                working[hunt] = found
            except InconclusiveError as error:
                failed.append(error)
        if not working:
            raise failed[0]
        return working, measuring

    def _trial(self, measuring: Mapping[Hunt, Sequence[SyntheticTrigger]]) -> Trial:
        """What measures: triggers, and where the model as it came sends labels with them."""
        unseen = [one for found in measuring.values() for one in found]
        _, *gone = self.trial.predicted(self.patient.proto, unseen, self.held_out)
        labels, classes = self.trial.source.labels[self.held_out], self.patient.signature.classes
        rules = {
            one: rule_of(labels, after, classes) for one, after in zip(unseen, gone, strict=True)
        }
        stronger: list[SyntheticTrigger] = []
        for hunt, found in measuring.items():
            for one in found:
                more = hunt.stronger(one)
                stronger += more
                rules |= dict.fromkeys(more, rules[one])
        rules[self._nothing] = rules[unseen[0]]
        return replace(self.trial, unseen=unseen, stronger=stronger, rules=rules)

    def _strong(
        self, proto: onnx.ModelProto, triggers: Sequence[SyntheticTrigger], alike: float
    ) -> list[SyntheticTrigger]:
        """Those that exchange a model's labels about as much as the strongest.

        Args:
            proto: the model.
            triggers: some.
            alike: how much of what the strongest does counts as that.

        Raises:
            InconclusiveError: a scan would see nothing in the strongest.
        """
        strengths = self._strengths(proto, triggers, self.tried_on)
        strongest = max(strengths, default=0.0)
        if shipped().moving_score(strongest) < shipped().clean_below:
            raise InconclusiveError(
                "nothing exchanges the labels of these images: no repair could be measured; use "
                "the scan's images, or more"
            )
        pairs = zip(triggers, strengths, strict=True)
        return [trigger for trigger, one in pairs if one >= alike * strongest]

    def _strengths(
        self, proto: onnx.ModelProto, triggers: Sequence[SyntheticTrigger], positions: IntArray
    ) -> list[float]:
        """How far each trigger exchanges a model's labels."""
        own, *gone = self.trial.predicted(proto, triggers, positions)
        return [scattered(own, after) for after in gone]


def _name(trigger: SyntheticTrigger) -> str:
    return "squares" if isinstance(trigger, Trigger) else f"{family_of(trigger).noun}s"
