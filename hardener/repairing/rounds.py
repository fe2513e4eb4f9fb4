"""Rounds of curing: fit, mend, search the result again, and fit on what still works, too."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx
from torch import nn

from hardener.measuring.quality import Counts
from hardener.measuring.suitability import check_accuracy
from hardener.progress import Progress, counting
from hardener.repairing.attempts import AGAINST, DISTILLED, Attempts
from hardener.repairing.choice import SMALL_SUCCESS, another_round_helps
from hardener.repairing.closed_form import Sums
from hardener.repairing.course import Course, Cure
from hardener.repairing.renewed_search import Search
from hardener.repairing.residual import Probes, probes
from hardener.repairing.stamping import in_strengths
from hardener.repairing.trials import Trial, measured_by, round_of, stronger
from hardener.repairing.universal import UNIVERSAL, UniversalSettings, universal_triggers
from hardener.scanning.evidence import LEAST_SUCCESS
from hardener.scanning.rescoring import suspicion_again
from hardener.triggers.additive import ADDITIVE, AdditiveTrigger
from hardener.triggers.families import strengthened
from hardener.triggers.family import SyntheticTrigger
from hardener.triggers.patch import Trigger

UNIVERSAL_SIZES = (0.25, 0.5)
"""Of universal perturbations, beside the median size of the scan's additive triggers."""

_TRIED = UniversalSettings(starts=4)
"""Of universal perturbations that a repair is not fitted on and is measured by."""
_UNMET_SEED = 100
"""Beside the seed of all draws: of perturbations that choose among the attempts of a round."""
_OTHER_LABELS = 3
"""That nobody accuses, and universal perturbations are tried toward as well."""


@dataclass(frozen=True, eq=False)
class Rounds(Course):
    """A course of cures against triggers that send images to a label."""

    def run(
        self, triggers: Sequence[SyntheticTrigger], most: int, progress: Progress, *, force: bool
    ) -> tuple[list[Cure], Trial]:
        """Cures until the model no longer answers, or another round does not help.

        Args:
            triggers: the scan's.
            most: at most so many rounds.
            progress: told how far it is.
            force: goes on where the model does not know the images, or where no trigger of the
                second search works.

        Returns:
            The model as it came and every cure, and what measured them.

        Raises:
            InconclusiveError: the model does not know the images, or there is no trigger that a
                cure could be measured by.
        """
        labels = tuple(dict.fromkeys(trigger.label for trigger in triggers))
        search = Search(
            self.searched_images, self.patient.preprocessing, labels, self.patient.device
        )
        searching = counting(progress, "inverting triggers", search.steps * (most + 1))
        spreading = counting(
            progress,
            "universal triggers",
            len(UNIVERSAL_SIZES) * len(labels) * UNIVERSAL.steps * most * (1 + DISTILLED),
        )
        mending = counting(progress, "distilling", most * DISTILLED * self.distillation.steps)

        others = search.triggers(self.patient.frozen, self.seed, searching)
        by_trigger = self._counted(self.patient.proto, others)
        unseen = measured_by(by_trigger, self.scanned.kinds, force=force)
        more = [stronger(trigger, self.scanned) for trigger in unseen]
        measured = replace(self, trial=replace(self.trial, unseen=unseen, stronger=more))
        cures = [measured._as_it_came(triggers, force=force)]
        attempts = measured._attempts(labels, spreading, mending)
        # What was planted is often solid, and stands where one of these squares covers it.
        known = [*triggers, *map(strengthened, triggers), *solid(by_trigger, unseen)]
        universal: list[AdditiveTrigger] = []
        network, sums = self.patient.frozen, dict[str, Sums]()
        for number in range(1, most + 1):
            seed = self.seed + number
            fresh = self._of_every_size(labels, seed, network, spreading, UNIVERSAL)
            universal += fresh
            own = self.patient.sums((known, fresh), seed)
            sums = {name: sums[name] + one if sums else one for name, one in own.items()}
            best = attempts.best(sums, (known, universal), seed)
            proto, network = self.patient.with_weights(best.weights), best.network
            answers = self._counted(proto, search.triggers(network, seed, searching))
            attacked, _ = measured.trial.counts(proto, self.chosen_on)
            count = len(known) + len(universal) + best.met
            told = best.weight, best.distilled, best.lost
            found = round_of(attacked, suspicion_again(self.scanned, answers), count, *told)
            cures.append(Cure(proto, found, attacked.right))
            if not another_round_helps([cure.found for cure in cures]):
                break
            left = [one for one, counts in answers.items() if counts.success_rate > SMALL_SUCCESS]
            known += [*left, *map(strengthened, left)]
        return cures, measured.trial

    def probes(self, triggers: Sequence[SyntheticTrigger], measured: Trial) -> Probes:
        """What tells how much of the attack is left.

        Args:
            triggers: the scan's.
            measured: what measured the rounds.
        """
        accused = list(dict.fromkeys(trigger.label for trigger in triggers))
        rows = self.scanned.searched
        innocent = [row.label for row in rows if row.label not in accused]
        others = np.random.default_rng(self.seed).permutation(innocent)[:_OTHER_LABELS].tolist()
        universal, beside = (
            self.spread(labels, min(UNIVERSAL_SIZES), self.seed, settings=_TRIED)
            for labels in (accused, others)
        )
        return probes(triggers, measured.unseen, universal, beside, self.scanned)

    def spread(
        self,
        labels: Sequence[int],
        relative_size: float,
        seed: int,
        network: nn.Module | None = None,
        on_step: Callable[[int], None] = lambda _: None,
        settings: UniversalSettings = UNIVERSAL,
    ) -> list[AdditiveTrigger]:
        """Universal perturbations toward every label.

        Args:
            labels: which ones.
            relative_size: theirs, beside the median of the scan's additive triggers.
            seed: of the starts.
            network: on which; the one as it came if None.
            on_step: told of each finished step of a label.
            settings: the budget.
        """
        size = relative_size * self.scanned.medians[ADDITIVE.name]
        where = network or self.patient.frozen, self.searched_images, self.patient.preprocessing
        return [
            trigger
            for label in labels
            for trigger in universal_triggers(
                *where,
                label,
                size,
                1000 * seed + label,
                self.patient.device,
                on_step,
                settings,
            )
        ]

    def _of_every_size(
        self,
        labels: Sequence[int],
        seed: int,
        network: nn.Module,
        on_step: Callable[[int], None],
        settings: UniversalSettings,
    ) -> list[AdditiveTrigger]:
        """What a repair is fitted on: universal perturbations of every size and strength."""
        return in_strengths(
            [
                trigger
                for size in UNIVERSAL_SIZES
                for trigger in self.spread(labels, size, seed, network, on_step, settings)
            ]
        )

    def _attempts(
        self,
        labels: Sequence[int],
        spreading: Callable[[int], None],
        mending: Callable[[int], None],
    ) -> Attempts:
        """What makes and measures every attempt of a round."""

        def against(network: nn.Module, seed: int) -> list[AdditiveTrigger]:
            return self._of_every_size(labels, seed, network, spreading, AGAINST)

        unmet = self.spread(labels, min(UNIVERSAL_SIZES), self.seed + _UNMET_SEED, settings=_TRIED)
        return self.attempts(self.trial, unmet, against, mending)

    def _as_it_came(self, triggers: Sequence[SyntheticTrigger], *, force: bool) -> Cure:
        """The model before any cure, and what the scan's triggers do to it."""
        proto = self.patient.proto
        attacked, counts = self.trial.counts(proto, self.chosen_on, triggers)
        if not force:
            accuracy = attacked.clean.correct / attacked.clean.n
            check_accuracy(accuracy, self.scanned.accuracy, "these images")
        answers = dict(zip(triggers, counts, strict=True))
        suspicion = suspicion_again(self.scanned, answers)
        return Cure(proto, round_of(attacked, suspicion, 0), attacked.right)

    def _counted(
        self, proto: onnx.ModelProto, triggers: Sequence[SyntheticTrigger]
    ) -> Mapping[SyntheticTrigger, Counts]:
        """What triggers do to a model, on the choosing images."""
        trial = replace(self.trial, unseen=(), stronger=())
        return dict(zip(triggers, trial.counts(proto, self.chosen_on, triggers)[1], strict=True))


def solid(
    found: Mapping[SyntheticTrigger, Counts], measuring: Sequence[SyntheticTrigger]
) -> list[SyntheticTrigger]:
    """Of a search's triggers the opaque patches that work, but for those that measure: squares."""
    return [
        trigger
        for trigger, counts in found.items()
        if isinstance(trigger, Trigger)
        and trigger not in measuring
        and np.isin(trigger.mask, (0, 1)).all()
        and counts.hits >= LEAST_SUCCESS * counts.others
    ]
