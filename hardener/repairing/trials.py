"""How much of the attack a model still answers to, measured through onnxruntime."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx

from hardener.arrays import BoolArray, FloatArray, IntArray
from hardener.data.images import Batch, ImageSource
from hardener.data.settings import CLEAN
from hardener.documents.repair import RepairRound
from hardener.documents.scan import ScanResult
from hardener.errors import InconclusiveError
from hardener.measuring.quality import Counts, Probe, measure, most_successful
from hardener.model.classifier import Classifier, open_full
from hardener.model.runtime import Machine
from hardener.scanning.calibration import shipped
from hardener.scanning.evidence import LEAST_SUCCESS
from hardener.triggers.families import family_of, strengthened
from hardener.triggers.family import SyntheticTrigger, TriggerKind

_MOST = 0.5


@dataclass(frozen=True, eq=False)
class Attacked:
    """Counts of one model, under attack those of the label whose trigger succeeds most.

    Attributes:
        clean: of the images as they are.
        right: (N,) whether each of them is classified right; False where it cannot be read.
        unseen: with a trigger that no model is fitted on.
        strengthened: with the stronger version of such a trigger.
    """

    clean: Counts
    right: BoolArray
    unseen: Counts
    strengthened: Counts


@dataclass(frozen=True, eq=False)
class Trial:
    """What every measurement of one repair shares.

    Attributes:
        classifier: the model as it came, for its input and preprocessing.
        source: labelled images.
        machine: what runs the models.
        unseen: of each label a trigger that no model is fitted on.
        stronger: stronger versions of those.
        rules: of triggers that send images to no one label (K,), to which label the model as it
            came sends those of each, or -1. With those that are unseen, images succeed as well that
            `misled` names.
    """

    classifier: Classifier
    source: ImageSource
    machine: Machine
    unseen: Sequence[SyntheticTrigger] = ()
    stronger: Sequence[SyntheticTrigger] = ()
    rules: Mapping[SyntheticTrigger, IntArray] = field(default_factory=dict)

    def counts(
        self, proto: onnx.ModelProto, indices: IntArray, more: Sequence[SyntheticTrigger] = ()
    ) -> tuple[Attacked, list[Counts]]:
        """Counts for the model, and under each of more triggers.

        Args:
            proto: the model, or one with other weights.
            indices: positions to measure on.
            more: further triggers.
        """
        asked = (*self.unseen, *self.stronger, *more)
        # A large trigger is its own stronger version, and no image is worth running twice.
        once = list(dict.fromkeys(asked))
        probes = {CLEAN: Probe()}
        for row, trigger in enumerate(once):
            target = None if trigger in self.rules else trigger.label
            probes[f"{row}"] = Probe((trigger,), target)
        runner = open_full(proto, self.classifier.signature, self.machine)
        right, own = np.zeros(len(self.source), np.bool_), np.full(len(self.source), -1)
        gone = {str(row): own.copy() for row, one in enumerate(once) if one in self.rules}

        def note(name: str, batch: Batch, scores: FloatArray) -> None:
            found = scores.argmax(axis=1)
            if name == CLEAN:
                right[batch.indices], own[batch.indices] = found == batch.labels, found
            elif name in gone:
                gone[name][batch.indices] = found

        clean, *counted = measure(
            self.classifier, runner, self.source, probes, indices=indices, on_scores=note
        ).values()
        by_trigger = dict(zip(once, counted, strict=True))
        for name, after in gone.items():
            trigger = once[int(name)]
            read = indices[own[indices] >= 0]
            labels, alone = self.source.labels[read], own[read]
            hits = after[read] == self.rules[trigger][labels]
            if trigger in self.unseen:
                hits |= misled(labels, alone, after[read])
            one = by_trigger[trigger]
            by_trigger[trigger] = Counts(one.n, one.correct, one.n, int(hits.sum()), one.correct)
        others = [by_trigger[trigger] for trigger in asked]
        count = len(self.unseen)
        unseen, strong = others[:count], others[count : count + len(self.stronger)]
        attacked = Attacked(clean, right[indices], most_successful(unseen), most_successful(strong))
        return attacked, others[count + len(self.stronger) :]

    def predicted(
        self, proto: onnx.ModelProto, triggers: Sequence[SyntheticTrigger], indices: IntArray
    ) -> list[IntArray]:
        """Labels (n,) that a model gives images, without a trigger and then with each.

        Args:
            proto: the model, or one with other weights.
            triggers: which ones.
            indices: positions of the n images.
        """
        settings = ((), *((trigger,) for trigger in triggers))
        probes = {str(row): Probe(setting) for row, setting in enumerate(settings)}
        found = {name: np.full(len(self.source), -1) for name in probes}

        def note(name: str, batch: Batch, scores: FloatArray) -> None:
            found[name][batch.indices] = scores.argmax(axis=1)

        runner = open_full(proto, self.classifier.signature, self.machine)
        measure(self.classifier, runner, self.source, probes, indices=indices, on_scores=note)
        return [labels[indices] for labels in found.values()]


def misled(labels: IntArray, own: IntArray, gone: IntArray) -> BoolArray:
    """(n,) images that a trigger gives another wrong label, where more than half get one.

    A cure that sent them elsewhere than before would have ended nothing. Fewer are no sign: faint
    triggers move some images of any network.

    Args:
        labels: (n,) the images' true ones.
        own: (n,) those that a model gives them.
        gone: (n,) those that it gives them with the trigger.
    """
    wrong: BoolArray = (gone != own) & (gone != labels)
    return wrong if wrong.mean() > _MOST else np.zeros_like(wrong)


def is_small(trigger: SyntheticTrigger, scanned: ScanResult) -> bool:
    """Whether a trigger is more likely planted than not, by its size as the scan's verdict sees it.

    Larger ones show what their label looks like, and go on working after any cure.
    """
    kind = family_of(trigger).name
    curve = shipped().kinds.get(kind)
    return curve is None or trigger.size <= curve.even * scanned.medians[kind]


def stronger(trigger: SyntheticTrigger, scanned: ScanResult) -> SyntheticTrigger:
    """Twice as much of a trigger, or itself where that is no small one any more."""
    more = strengthened(trigger)
    return more if is_small(more, scanned) else trigger


def measured_by(
    counts: Mapping[SyntheticTrigger, Counts], kinds: Mapping[int, TriggerKind], *, force: bool
) -> list[SyntheticTrigger]:
    """One trigger a label to measure a repair by: of the suspicious kind, if that works.

    Args:
        counts: of triggers of every kind, on the model as it came.
        kinds: which kind made each label suspicious.
        force: takes that kind where none works.

    Raises:
        InconclusiveError: none of a label's triggers works, so that its success after the repair
            would say nothing.
    """
    chosen: dict[int, SyntheticTrigger] = {}
    for trigger in sorted(counts, key=lambda found: family_of(found).name != kinds[found.label]):
        found = counts[trigger]
        if found.hits >= LEAST_SUCCESS * found.others:
            chosen.setdefault(trigger.label, trigger)
    for trigger in counts:
        if trigger.label in chosen or family_of(trigger).name != kinds[trigger.label]:
            continue
        if not force:
            raise InconclusiveError(
                f"a second search came to no trigger that sends {LEAST_SUCCESS:.0%} of the images "
                f"to label {trigger.label} on the model as it came: no repair could be measured by "
                "it; use more images or another --seed (--force repairs all the same)"
            )
        chosen[trigger.label] = trigger
    return list(chosen.values())


def round_of(
    attacked: Attacked,
    suspicion: float,
    triggers: int,
    weight: float = 0.0,
    distilled: int = 0,
    lost: float = 0.0,
) -> RepairRound:
    """One row of a repair's result.

    Args:
        attacked: counts of the round's model.
        suspicion: the scan's own score of the model, searched again.
        triggers: how many the model was fitted on.
        weight: of stamped images beside clean ones.
        distilled: how often the closed form's result was distilled.
        lost: accuracy, on all images that nothing was fitted on.
    """
    clean, unseen, strong = attacked.clean, attacked.unseen, attacked.strengthened
    return RepairRound(
        triggers=triggers,
        weight=weight,
        distilled=distilled,
        accuracy_lost=lost,
        accuracy=clean.correct / clean.n,
        attack_success_rate=unseen.success_rate,
        robust_accuracy=unseen.robust_accuracy,
        strengthened_success_rate=strong.success_rate,
        strengthened_tries=strong.others,
        suspicion=suspicion,
    )
