"""Pruning of the feature layer: norms under the triggers, a threshold, and a rewrite."""

from functools import partial

from hardener.model.pooling import behind_pooling
from hardener.model.rewriting import REWRITES, PruningPlan, comparison, rewritten
from hardener.model.summing_head import summing_head
from hardener.model.topology import FeatureLayer
from hardener.progress import counting
from hardener.pruning.candidate import (
    Candidate,
    Choosing,
    affordable,
    checked_indices,
    chosen_position,
    sweep_row,
)
from hardener.pruning.options import PruningOption, options_for
from hardener.pruning.sweep import feature_batches, feature_bytes, sweep


def layer_candidate(
    choosing: Choosing, criterion: str, layer: FeatureLayer, rewrite: str, *, alarm: bool
) -> Candidate:
    """Chooses a threshold on the norms of the feature layer's channels and rewrites by it.

    Args:
        choosing: what to choose with.
        criterion: a name from CRITERIA or, for a guard or clip, LIMIT_CRITERIA.
        layer: the feature layer.
        rewrite: how to write it.
        alarm: gives a guard a further output.

    Raises:
        HardenError: nothing can be chosen, or the graph does not allow the rewrite.
    """
    classifier, source, probes = choosing.classifier, choosing.source, choosing.probes
    signature = classifier.signature
    # A guard and a clip act on single activations, which poolings would not leave.
    cut = layer if REWRITES[rewrite].limiting else behind_pooling(classifier.proto, layer)
    trunk = partial(
        feature_batches, classifier, layer, source, probes, machine=choosing.machine, cut=cut
    )
    needed = len(probes) * feature_bytes(classifier, layer, cut)
    indices = affordable(choosing.indices, source.labels, needed, choosing.seed, "feature maps")
    advance = counting(choosing.progress, "running the trunk", len(indices))
    batches = list(trunk(indices=indices, on_batch=advance))
    chosen_on = sum(len(batch.labels) for batch in batches)
    options = options_for(criterion, rewrite, batches, choosing.threshold)
    trials = sweep(
        REWRITES[rewrite].head(classifier.proto, cut, signature),
        [option.feed for option in options],
        batches,
        probes,
        machine=choosing.machine,
        batch_size=signature.batch,
        stepping=None
        if REWRITES[rewrite].limiting
        else summing_head(classifier.proto, cut, signature),
        on_batch=counting(choosing.progress, "sweeping thresholds", chosen_on),
    )
    del batches
    rows = tuple(
        sweep_row(option.threshold, len(option.channels), trial)
        for option, trial in zip(options, trials, strict=True)
    )
    position = chosen_position(choosing, trials)
    if position is None:
        return Candidate(rows, chosen_on)
    option = options[position]
    plan = _plan(layer, rewrite, option, alarm=alarm)
    hardened = rewritten(classifier.proto, plan, classifier.model.shapes)
    compare = comparison(classifier.proto, hardened, signature, plan, choosing.machine.threads)
    for batch in classifier.batches(source, checked_indices(indices)):
        for probe in probes.values():
            (network_input,) = classifier.feeds(batch.images, probe.setting).values()
            compare(network_input)
    fields = {
        "threshold": option.threshold,
        "channels": plan.channels,
        "limits": plan.limits,
        "alarm": alarm,
    }
    return Candidate(rows, chosen_on, hardened, fields)


def _plan(layer: FeatureLayer, rewrite: str, option: PruningOption, *, alarm: bool) -> PruningPlan:
    if not REWRITES[rewrite].limiting:
        return PruningPlan(layer, rewrite, option.channels)
    alike = None if option.limits else option.threshold
    return PruningPlan(layer, rewrite, threshold=alike, limits=option.limits, alarm=alarm)
