"""A pruning plan written into a model, and checked against what the plan means."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import onnx

from hardener.arrays import FloatArray
from hardener.errors import ModelError, UsageError
from hardener.model.rewrites.fold import fold
from hardener.model.rewrites.guard import guard
from hardener.model.rewrites.mask import mask
from hardener.model.runtime import open_runner
from hardener.model.signature import Signature
from hardener.model.switching import (
    KEEP_INPUT,
    THRESHOLD_INPUT,
    guardable_head,
    maskable_head,
    trunk_model,
)
from hardener.model.topology import FeatureLayer

Rewrite = Literal["mask", "fold", "guard"]
REWRITES: tuple[str, ...] = get_args(Rewrite)
LATER_REWRITES = ("slim", "clip")
LOGIT_TOLERANCE = 1e-4


@dataclass(frozen=True)
class PruningPlan:
    """What to prune and how to write it down.

    Attributes:
        layer: the feature layer.
        rewrite: mask or fold for `channels`, guard for `threshold`.
        channels: pruned for good, ascending.
        threshold: of the guard, in activation units.
    """

    layer: FeatureLayer
    rewrite: str
    channels: tuple[int, ...] = ()
    threshold: float | None = None


def check_rewrite(rewrite: str) -> None:
    """Raises UsageError for a rewrite that does not exist or not yet."""
    if rewrite in LATER_REWRITES:
        raise UsageError(
            f"--rewrite {rewrite} is not implemented yet: use one of {', '.join(REWRITES)}"
        )
    if rewrite not in REWRITES:
        raise UsageError(f"no rewrite {rewrite!r}: use one of {', '.join(REWRITES)}")


def check_channels(channels: tuple[int, ...], layer: FeatureLayer) -> None:
    """Raises UsageError where a channel is not one of the feature layer's."""
    wrong = [c for c in channels if not 0 <= c < layer.channels]
    if wrong:
        raise UsageError(
            f"channel {wrong[0]} does not exist: the feature layer {layer.name!r} has channels "
            f"0 to {layer.channels - 1}"
        )


def rewritten(proto: onnx.ModelProto, signature: Signature, plan: PruningPlan) -> onnx.ModelProto:
    """Writes a plan into a copy of the model.

    Raises:
        UsageError: the plan lacks what its rewrite needs.
        ModelError: the graph does not allow it.
    """
    check_rewrite(plan.rewrite)
    check_channels(plan.channels, plan.layer)
    if plan.rewrite == "guard":
        if plan.threshold is None:
            raise UsageError("--rewrite guard needs a --threshold, not channels")
        return guard(proto, plan.layer, plan.threshold)
    if plan.rewrite == "mask":
        return mask(proto, plan.layer, plan.channels)
    return fold(proto, plan.layer, signature, plan.channels)


def require_same_logits(
    original: onnx.ModelProto,
    changed: onnx.ModelProto,
    signature: Signature,
    plan: PruningPlan,
    network_input: FloatArray,
) -> float:
    """Compares the rewritten model with the plan simulated on the original.

    Args:
        original: the model before.
        changed: the model after.
        signature: of both.
        plan: what was written.
        network_input: (N, C, H, W), normalised.

    Returns:
        The largest difference of any logit.

    Raises:
        ModelError: a logit differs by more than 1e-4 of the largest (at least of 1).
    """
    (features,) = open_runner(trunk_model(original, plan.layer), "cpu").run(
        {signature.input: network_input}
    )
    if plan.rewrite == "guard":
        head = guardable_head(original, plan.layer, signature)
        feed = {THRESHOLD_INPUT: np.array(plan.threshold, np.float32)}
    else:
        head = maskable_head(original, plan.layer, signature)
        keep = np.ones((1, plan.layer.channels, 1, 1), np.float32)
        keep[:, list(plan.channels)] = 0
        feed = {KEEP_INPUT: keep}
    (expected,) = open_runner(head, "cpu").run({plan.layer.name: features, **feed})
    runner = open_runner(changed, "cpu")
    names = [output.name for output in runner.session.get_outputs()]
    found = runner.run({signature.input: network_input})[names.index(signature.output)]
    difference = float(np.abs(found - expected).max())
    if not difference <= LOGIT_TOLERANCE * max(1.0, float(np.abs(expected).max())):
        raise ModelError(
            f"the rewritten model's logits differ from the plan's by {difference:.2g}: "
            "nothing was written"
        )
    return difference
