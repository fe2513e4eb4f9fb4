"""How much of the attack a model still answers to, measured through onnxruntime."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from hardener.arrays import IntArray
from hardener.data.additive import AdditiveTrigger
from hardener.data.images import ImageSource
from hardener.data.settings import CLEAN
from hardener.data.triggers import Trigger
from hardener.data.warps import Warp
from hardener.measuring.quality import Counts, Probe, measure
from hardener.model.classifier import Classifier, open_full
from hardener.results import RepairRound, ScanResult
from hardener.scanning.saved import SyntheticTrigger
from hardener.scanning.verdict import LEAST_SUCCESS


@dataclass(frozen=True, eq=False)
class Trial:
    """What every measurement of one repair shares.

    Attributes:
        classifier: the model as it came, for its input and preprocessing.
        source: labelled images.
        provider: what runs the models.
        unseen: triggers that no model is distilled on, of the kind that made the scan suspicious.
    """

    classifier: Classifier
    source: ImageSource
    provider: str
    unseen: Sequence[SyntheticTrigger]

    def counts(
        self, proto: onnx.ModelProto, indices: IntArray, more: Sequence[SyntheticTrigger] = ()
    ) -> tuple[Counts, Counts, list[Counts]]:
        """Counts clean images, those under all unseen triggers together, and under each of more.

        Args:
            proto: the model, or one with other weights.
            indices: positions to measure on.
            more: further triggers.
        """
        probes = {CLEAN: Probe()}
        for row, trigger in enumerate((*self.unseen, *more)):
            probes[f"{row}"] = Probe((trigger,), trigger.label)
        runner = open_full(proto, self.classifier.signature, self.provider)
        clean, *others = measure(
            self.classifier, runner, self.source, probes, indices=indices
        ).values()
        unseen, rest = others[: len(self.unseen)], others[len(self.unseen) :]
        return clean, sum(unseen, Counts()), rest


def round_of(
    clean: Counts,
    attacked: Counts,
    left: Mapping[SyntheticTrigger, Counts],
    scanned: ScanResult,
    triggers: int,
) -> RepairRound:
    """One row of a repair's result.

    Args:
        clean: counts of the clean images.
        attacked: counts under the unseen triggers.
        left: triggers that a search of the model found, with their counts.
        scanned: the scan, for the median size of each kind of trigger.
        triggers: how many the model was distilled on.
    """
    median_l1 = _median(evidence.mask_l1 for evidence in scanned.labels)
    median_l2 = _median(evidence.additive.perturbation_l2 for evidence in scanned.labels)
    median_rms = _median(evidence.warp.displacement_rms for evidence in scanned.labels)
    working = [t for t, counts in left.items() if counts.hits >= LEAST_SUCCESS * counts.others]
    masks = [t.mask_l1 for t in working if isinstance(t, Trigger)]
    norms = [t.l2 for t in working if isinstance(t, AdditiveTrigger)]
    warps = [t.rms for t in working if isinstance(t, Warp)]
    return RepairRound(
        triggers=triggers,
        accuracy=clean.correct / clean.n,
        attack_success_rate=attacked.hits / max(1, attacked.others),
        robust_accuracy=attacked.robust / max(1, attacked.others),
        patch_relative_size=min(masks) / median_l1 if masks else None,
        additive_relative_size=min(norms) / median_l2 if norms else None,
        warp_relative_size=min(warps) / median_rms if warps else None,
    )


def _median(sizes: Iterable[float]) -> float:
    return max(float(np.median(list(sizes))), 1e-6)
