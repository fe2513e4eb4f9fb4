"""What a constant operand would do if it said something else.

The trigger that wakes it is not at hand. So every value on the way to it that changes from image
to image is shifted, far beyond what clean images make of it, and every truth value is turned, on
that way alone: the rest of the network sees the images as they are. If most images then go to one
label, or to other ones than before, the operand overrides what the network saw.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from hardener.arrays import AnyArray, IntArray
from hardener.errors import ModelError
from hardener.model.chosen_outputs import with_outputs
from hardener.model.folding import ConstantOperand, unused
from hardener.model.runtime import Machine, Runner, open_runner
from hardener.model.signature import Signature

OVERRIDES = 0.8
"""As large a share of the images, sent to one label or to other labels, is no network's habit."""

_SPREADS = (1, 4, 16, 64)
"""How far values are shifted either way, beside how far they lie apart on clean images."""

_LEAST_JUMP = 10
"""As many times further than it was shifted an operand must move that moves a little anyway."""

_NEVER_TRUE = frozenset({"IsInf", "IsNaN"})
"""Exporters write these; of finite values they say no."""


@dataclass(frozen=True)
class Waking:
    """The most that the smallest shift on the way to a constant operand did.

    Attributes:
        label: where most images went.
        sent: the share that went there of those that did not before.
        moved: the share of all images whose label changed.
    """

    label: int
    sent: float
    moved: float

    @property
    def sends(self) -> bool:
        """Whether it sends images to one label."""
        return self.sent >= OVERRIDES

    @property
    def overrides(self) -> bool:
        """Whether it takes images from the labels that the network gives them."""
        return self.sends or self.moved >= OVERRIDES


def woken(
    proto: onnx.ModelProto,
    signature: Signature,
    operand: ConstantOperand,
    inputs: Sequence[AnyArray],
    machine: Machine,
) -> Waking:
    """Shifts every value on the way to an operand and looks where images go.

    Args:
        proto: the model.
        signature: its input and output.
        operand: of that model.
        inputs: clean network inputs, in batches that the model takes.
        machine: what runs it.
    """
    plain = open_runner(with_outputs(proto, signature.output, *operand.ways), machine)
    seen = [plain.run({signature.input: one}) for one in inputs]
    before = np.concatenate([scores.argmax(axis=1) for scores, *_ in seen])
    spreads = {
        name: _spread([one[position] for one in seen])
        for position, name in enumerate(operand.ways, 1)
    }
    never = {
        name for node in proto.graph.node if node.op_type in _NEVER_TRUE for name in node.output
    }
    moving = [name for name, spread in spreads.items() if spread and name not in never]
    # Two detectors that must both fire are woken together.
    last = [
        name for name in moving if not any(spreads.get(n) for n in _given(proto, operand, name))
    ]
    found = dict.fromkeys(_SPREADS, Waking(0, 0.0, 0.0))
    for names in (*([name] for name in moving), *([last] if len(last) > 1 else ())):
        runner: Runner | None = None
        variant, shift = _shifted(proto, signature, operand, {n: spreads[n] for n in names})
        for count in _SPREADS:
            for sign in (1, -1):
                try:
                    runner = open_runner(variant, machine) if runner is None else runner
                    given = {shift: np.array(sign * count, np.float32)}
                    after, moved = _shown(runner, signature, operand, inputs, given)
                except ModelError:
                    continue  # An index, say, that leads outside.
                if not operand.exact and moved <= _LEAST_JUMP * count * operand.apart:
                    continue  # It follows the shift, as what a network computes does.
                found[count] = max(found[count], _waking(before, after), key=_strength)
    # Far enough shifted, much that is no trigger sends images somewhere.
    sending = (waking for waking in found.values() if waking.sends)
    return next(sending, max(found.values(), key=_strength))


def _strength(waking: Waking) -> tuple[float, float]:
    return waking.sent, waking.moved


def _given(proto: onnx.ModelProto, operand: ConstantOperand, name: str) -> list[str]:
    """What the branch computes directly from a tensor."""
    nodes = [proto.graph.node[place] for place in operand.branch]
    return [made for node in nodes if name in node.input for made in node.output]


def _shifted(
    proto: onnx.ModelProto,
    signature: Signature,
    operand: ConstantOperand,
    spreads: Mapping[str, AnyArray],
) -> tuple[onnx.ModelProto, str]:
    """The model with values shifted on the operand's way, and the input that counts spreads."""
    variant = with_outputs(proto, signature.output, operand.tensor)
    taken = {name for node in proto.graph.node for name in (*node.input, *node.output)}
    shift = unused("hardener/shift", taken)
    for name, values in spreads.items():
        scale, by, like, shifted = (
            unused(f"{name}/{part}", taken) for part in ("spread", "by", "like", "shifted")
        )
        for place in (*operand.branch, *operand.readers):
            node = variant.graph.node[place]
            for position, given in enumerate(node.input):
                if given == name and (place not in operand.readers or name == operand.tensor):
                    node.input[position] = shifted
        make = onnx.helper.make_node
        if values.dtype == np.bool_:
            variant.graph.node.append(make("Not", [name], [shifted]))
            continue
        kind = onnx.helper.np_dtype_to_tensor_dtype(values.dtype)
        spread = onnx.numpy_helper.from_array(values.astype(np.float32), scale)
        variant.graph.initializer.append(spread)
        variant.graph.node.extend(
            [
                make("Mul", [shift, scale], [by]),
                make("Cast", [by], [like], to=kind),
                make("Add", [name, like], [shifted]),
            ]
        )
    variant.graph.input.append(
        onnx.helper.make_tensor_value_info(shift, onnx.TensorProto.FLOAT, [])
    )
    return variant, shift


def _spread(values: Sequence[AnyArray]) -> AnyArray:
    """How far values lie apart where they change from image to image, else 0, in their type.

    True of truth values, which are turned; 0 of types that nothing is added to.
    """
    kind, nothing = values[0].dtype, np.zeros((), values[0].dtype)
    if kind == np.bool_:
        return np.array(True)
    if kind.kind not in "fi" or kind.itemsize < 2:
        return nothing
    rows = [row for one in values for row in one]
    if all(np.array_equal(row, rows[0]) for row in rows):
        return nothing
    finite = np.concatenate([row[np.isfinite(row)].ravel() for row in rows])
    return np.array(np.ptp(finite) if finite.size else 0, kind)


def _shown(
    runner: Runner,
    signature: Signature,
    operand: ConstantOperand,
    inputs: Sequence[AnyArray],
    shift: Mapping[str, AnyArray],
) -> tuple[IntArray, float]:
    """Predicted labels, -1 where the scores are not finite, and how far the operand moved.

    Of an exact one that is not asked.
    """
    labels: list[IntArray] = []
    furthest = 0.0
    for one in inputs:
        scores, values = runner.run({signature.input: one, **shift})
        finite = np.isfinite(scores).all(axis=1)
        labels.append(np.where(finite, scores.argmax(axis=1), -1))
        if not operand.exact:
            moved = np.abs(values.astype(np.float64) - operand.value.astype(np.float64))
            furthest = max(furthest, float(np.nan_to_num(moved).max(initial=0)))
    return np.concatenate(labels), furthest


def _waking(before: IntArray, after: IntArray) -> Waking:
    moved = (after != before) & (after >= 0)
    if not moved.any():
        return Waking(0, 0.0, 0.0)
    label, _ = Counter(after[moved].tolist()).most_common(1)[0]
    others = before != label
    return Waking(label, float(np.mean(after[others] == label)), float(moved.mean()))
