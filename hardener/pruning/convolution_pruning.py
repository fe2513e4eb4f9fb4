"""Pruning of convolutions: a criterion's scores, one threshold for all of them, and the fold."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from hardener.arrays import BoolArray, FloatArray
from hardener.documents.prune import PrunedConvolution
from hardener.errors import UsageError
from hardener.model.channel_masks import mask_feeds, maskable_model
from hardener.model.convolution_folding import folded, folding_comparison
from hardener.model.convolutions import Convolution
from hardener.model.runtime import open_runner
from hardener.progress import counting
from hardener.pruning.candidate import (
    Candidate,
    Choosing,
    affordable,
    checked_indices,
    chosen_position,
    sweep_row,
)
from hardener.pruning.convolution_scores import scores_of
from hardener.pruning.convolution_sweep import InputBatch, sweep_convolutions
from hardener.pruning.thresholds import channels_kept, growing_thresholds


def convolution_candidate(
    choosing: Choosing, criterion: str, convolutions: Sequence[Convolution]
) -> Candidate:
    """Chooses a threshold on the scores of convolutions' channels and prunes by it.

    Args:
        choosing: what to choose with.
        criterion: a name from CONVOLUTION_CRITERIA.
        convolutions: to look at.

    Raises:
        HardenError: nothing can be chosen, or the given threshold leaves no channel.
    """
    classifier, source = choosing.classifier, choosing.source
    height, width = classifier.preprocessing.size
    needed = 4 * classifier.signature.channels * height * width * len(choosing.probes)
    indices = affordable(choosing.indices, source.labels, needed, choosing.seed, "network inputs")
    choosing = replace(choosing, indices=indices)
    scores = scores_of(criterion, choosing, convolutions)
    thresholds = [None, *_thresholds(criterion, scores, choosing.threshold)]
    prunings = [_kept(scores, threshold) for threshold in thresholds]
    batches = [
        InputBatch(
            batch.labels,
            {
                name: classifier.feeds(batch.images, probe.setting)
                for name, probe in choosing.probes.items()
            },
        )
        for batch in classifier.batches(source, indices)
    ]
    model = maskable_model(classifier.proto, convolutions, classifier.signature.output)
    trials = sweep_convolutions(
        open_runner(model, choosing.machine, batch=classifier.signature.batch),
        [mask_feeds(convolutions, kept) for kept in prunings],
        batches,
        choosing.probes,
        choosing.max_accuracy_drop,
        counting(choosing.progress, "sweeping thresholds", len(prunings)),
    )
    rows = tuple(
        sweep_row(threshold, sum(int((~own).sum()) for own in kept), trial)
        for threshold, kept, trial in zip(thresholds, prunings, trials, strict=False)
    )
    chosen_on = sum(len(batch.labels) for batch in batches)
    position = chosen_position(choosing, trials)
    if position is None:
        return Candidate(rows, chosen_on)
    kept = prunings[position]
    hardened = folded(classifier.proto, convolutions, kept, classifier.model.shapes)
    compare = folding_comparison(
        classifier.proto,
        hardened,
        classifier.signature,
        convolutions,
        kept,
        choosing.machine.threads,
    )
    for batch in classifier.batches(source, checked_indices(indices)):
        for probe in choosing.probes.values():
            (network_input,) = classifier.feeds(batch.images, probe.setting).values()
            compare(network_input)
    pruned = _pruned(convolutions, kept)
    fields = {
        "threshold": thresholds[position],
        "channels": pruned[0].pruned if len(pruned) == 1 else (),
        "convolutions": pruned,
    }
    return Candidate(rows, chosen_on, hardened, fields)


def _thresholds(criterion: str, scores: Sequence[FloatArray], given: float | None) -> list[float]:
    together = np.concatenate(scores)
    if given is None:
        return growing_thresholds(together).tolist()
    if given < float(together.min()):
        raise UsageError(
            f"--threshold {given:g} prunes every channel, after which the model says the same of "
            f"every image: the lowest score by {criterion} is {together.min():g}"
        )
    return [given]


def _kept(scores: Sequence[FloatArray], threshold: float | None) -> list[BoolArray]:
    limit = np.inf if threshold is None else threshold
    return [channels_kept(own, limit) for own in scores]


def _pruned(
    convolutions: Sequence[Convolution], kept: Sequence[BoolArray]
) -> tuple[PrunedConvolution, ...]:
    return tuple(
        PrunedConvolution(
            name=convolution.layer.name,
            channels=convolution.layer.channels,
            pruned=tuple(int(channel) for channel in np.flatnonzero(~own)),
        )
        for convolution, own in zip(convolutions, kept, strict=True)
    )
