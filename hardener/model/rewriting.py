"""A pruning plan written into a model, and checked against what the plan means."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import onnx

from hardener.arrays import AnyArray
from hardener.errors import ModelError, UsageError
from hardener.model.channel_flow import Shapes
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
_SMALLEST_SCALE = 1e-2
_HALF_WEIGHTS = frozenset({onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16})
_INTEGER_WEIGHTS = frozenset({onnx.TensorProto.INT8, onnx.TensorProto.UINT8})


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


def chosen_rewrite(
    rewrite: str | None, proto: onnx.ModelProto, layer: FeatureLayer, shapes: Shapes
) -> str:
    """The rewrite that was asked for; by default fold, or mask where the graph cannot take it."""
    if rewrite is not None:
        return rewrite
    try:
        fold(proto, layer, shapes, [0])
    except ModelError:
        return "mask"
    return "fold"


def check_channels(channels: tuple[int, ...], layer: FeatureLayer) -> None:
    """Raises UsageError where a channel is not one of the feature layer's."""
    wrong = [c for c in channels if not 0 <= c < layer.channels]
    if wrong:
        raise UsageError(
            f"channel {wrong[0]} does not exist: the feature layer {layer.name!r} has channels "
            f"0 to {layer.channels - 1}"
        )


def rewritten(proto: onnx.ModelProto, plan: PruningPlan, shapes: Shapes) -> onnx.ModelProto:
    """Writes a plan into a copy of the model.

    Args:
        proto: the model.
        plan: what to write.
        shapes: of every tensor, as observed in one run.

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
    return fold(proto, plan.layer, shapes, plan.channels)


def require_same_logits(
    original: onnx.ModelProto,
    changed: onnx.ModelProto,
    signature: Signature,
    plan: PruningPlan,
    network_input: AnyArray,
) -> float:
    """Compares the rewritten model with the plan simulated on the original.

    Args:
        original: the model before.
        changed: the model after.
        signature: of both.
        plan: what was written.
        network_input: normalised images as the model takes them.

    Returns:
        The largest difference of any logit.

    Raises:
        ModelError: a logit differs by more than the arithmetic's rounding can explain.
    """
    trunk = open_runner(trunk_model(original, plan.layer, signature), "cpu", batch=signature.batch)
    names = [output.name for output in trunk.session.get_outputs()]
    feeds = dict(zip(names, trunk.run({signature.input: network_input}), strict=True))
    if plan.rewrite == "guard":
        head = guardable_head(original, plan.layer, signature)
        feeds[THRESHOLD_INPUT] = np.array(plan.threshold, np.float32)
    else:
        head = maskable_head(original, plan.layer, signature)
        feeds[KEEP_INPUT] = np.ones(plan.layer.channels, np.float32)
        feeds[KEEP_INPUT][list(plan.channels)] = 0
    (expected,) = open_runner(head, "cpu", batch=signature.batch).run(feeds)
    runner = open_runner(changed, "cpu", batch=signature.batch)
    names = [output.name for output in runner.session.get_outputs()]
    found = runner.run({signature.input: network_input})[names.index(signature.output)]
    difference = float(np.abs(found.astype(np.float32) - expected.astype(np.float32)).max())
    allowed = tolerance(original) * max(_SMALLEST_SCALE, float(np.abs(expected).max()))
    if not difference <= allowed:
        raise ModelError(
            f"the rewritten model's logits differ from the plan's by {difference:.2g}, more than "
            f"{allowed:.2g}: nothing was written"
        )
    return difference


def tolerance(proto: onnx.ModelProto) -> float:
    """Largest difference of logits, as a fraction of the largest one, that rounding explains.

    onnxruntime may fuse a model and its parts differently; what it then rounds differently is
    1e-4 in float32, a few units in the last place in float16, a few steps in integers.
    """
    types = {tensor.data_type for tensor in proto.graph.initializer}
    if types & _INTEGER_WEIGHTS:
        return 0.05
    if types & _HALF_WEIGHTS:
        return 0.01
    return LOGIT_TOLERANCE
