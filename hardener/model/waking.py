"""What a constant operand would do if it said something else.

The trigger that wakes it is not at hand. So every value on the way to it is shifted, far beyond
what clean images make of it, on that way alone: the rest of the network sees the images as they
are. If most images then go to one label, or to other ones than before, the operand overrides
what the network saw.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from hardener.arrays import AnyArray, IntArray
from hardener.errors import ModelError
from hardener.model.chosen_outputs import with_outputs
from hardener.model.folding import ConstantOperand
from hardener.model.runtime import Machine, Runner, open_runner
from hardener.model.signature import Signature

OVERRIDES = 0.8
"""As large a share of the images, sent to one label or to other labels, is no network's habit."""

_SPREADS = (1, 4, 16, 64)
"""How far values are shifted either way, beside how far they lie apart on clean images."""

_SHIFT = "hardener_shift"


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
    ways: list[tuple[Runner, AnyArray]] = []
    for position, name in enumerate(operand.ways, 1):
        values = np.concatenate([one[position].ravel() for one in seen])
        if (variant := _shifted(proto, signature, operand, name, values.dtype)) is not None:
            ways.append((open_runner(variant, machine, frugal=True), _spread(values)))
    found = Waking(0, 0.0, 0.0)
    for count in _SPREADS:
        for runner, spread in ways:
            for shift in (count * spread, -count * spread):
                try:
                    after = _labels(runner, signature, inputs, np.asarray(shift, spread.dtype))
                except ModelError:
                    continue  # An index, say, that leads outside.
                found = max(found, _waking(before, after), key=_strength)
        if found.sends:
            break  # Far enough shifted, much that is no trigger sends images somewhere.
    return found


def _strength(waking: Waking) -> tuple[float, float]:
    return waking.sent, waking.moved


def _shifted(
    proto: onnx.ModelProto,
    signature: Signature,
    operand: ConstantOperand,
    name: str,
    kind: "np.dtype[np.generic]",
) -> onnx.ModelProto | None:
    """The model with a value shifted on the operand's way; None for types that are not shifted."""
    variant = with_outputs(proto, signature.output)
    if kind == np.bool_:
        op = "Xor"
    elif kind in (np.float32, np.float16, np.float64, np.int32, np.int64):
        op = "Add"
    else:
        return None
    for place in (*operand.branch, *operand.readers):
        node = variant.graph.node[place]
        for position, given in enumerate(node.input):
            if given == name and (place not in operand.readers or name == operand.tensor):
                node.input[position] = f"{name}/shifted"
    variant.graph.node.append(onnx.helper.make_node(op, [name, _SHIFT], [f"{name}/shifted"]))
    variant.graph.input.append(
        onnx.helper.make_tensor_value_info(_SHIFT, onnx.helper.np_dtype_to_tensor_dtype(kind), [])
    )
    return variant


def _spread(values: AnyArray) -> AnyArray:
    """How far values lie apart, at least 1 where they do not; True of truth values."""
    if values.dtype == np.bool_:
        return np.array(True)
    finite = values[np.isfinite(values)].astype(np.float64)
    return np.array((float(np.ptp(finite)) if finite.size else 0.0) or 1.0).astype(values.dtype)


def _labels(
    runner: Runner, signature: Signature, inputs: Sequence[AnyArray], shift: AnyArray
) -> IntArray:
    """Predicted labels; -1 where the scores are not finite."""
    found: list[IntArray] = []
    for one in inputs:
        (scores,) = runner.run({signature.input: one, _SHIFT: shift})
        finite = np.isfinite(scores).all(axis=1)
        found.append(np.where(finite, scores.argmax(axis=1), -1))
    return np.concatenate(found)


def _waking(before: IntArray, after: IntArray) -> Waking:
    moved = (after != before) & (after >= 0)
    if not moved.any():
        return Waking(0, 0.0, 0.0)
    label, _ = Counter(after[moved].tolist()).most_common(1)[0]
    others = before != label
    return Waking(label, float(np.mean(after[others] == label)), float(moved.mean()))
