"""What a constant operand would do if it said something else.

The trigger that wakes it is not at hand. So every value on the way to it is shifted, far beyond
what clean images make of it, on that way alone: the rest of the network sees the images as they
are. If most images then go to one label, or to other ones than before, the operand overrides
what the network saw.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from hardener.arrays import AnyArray, IntArray
from hardener.model.chosen_outputs import with_outputs
from hardener.model.constant_operands import ConstantOperand
from hardener.model.runtime import Machine, Runner, open_runner
from hardener.model.signature import Signature

_SPREADS = (1, -1, 4, -4, 16, -16, 64, -64)
"""How far values are shifted, beside how far they lie apart on clean images."""

_SHIFT = "hardener_shift"


@dataclass(frozen=True)
class Waking:
    """The most that a shift on the way to a constant operand did.

    Attributes:
        label: where most images went.
        sent: the share that went there of those that did not before.
        moved: the share of all images whose label changed.
    """

    label: int
    sent: float
    moved: float


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
    ways = _ways(proto, signature, operand)
    plain = open_runner(with_outputs(proto, signature.output, *ways), machine)
    seen = [plain.run({signature.input: one}) for one in inputs]
    before = np.concatenate([scores.argmax(axis=1) for scores, *_ in seen])
    found = Waking(0, 0.0, 0.0)
    for position, name in enumerate(ways, 1):
        values = np.concatenate([one[position].ravel() for one in seen])
        if (variant := _shifted(proto, signature, operand, name, values.dtype)) is None:
            continue
        runner = open_runner(variant, machine)
        for shift in _shifts(values):
            after = _labels(runner, signature, inputs, shift)
            found = max(found, _waking(before, after), key=_strength)
    return found


def _strength(waking: Waking) -> tuple[float, float]:
    return waking.sent, waking.moved


def _ways(proto: onnx.ModelProto, signature: Signature, operand: ConstantOperand) -> list[str]:
    """Names of the operand and of all that its branch computes or is given."""
    nodes = [proto.graph.node[place] for place in operand.branch]
    weights = {tensor.name for tensor in proto.graph.initializer}
    names = dict.fromkeys(
        [operand.tensor, *(name for node in reversed(nodes) for name in node.input)]
    )
    return [name for name in names if name and name not in weights and name != signature.input]


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


def _shifts(values: AnyArray) -> Iterator[AnyArray]:
    if values.dtype == np.bool_:
        yield np.array(True)
        return
    finite = values[np.isfinite(values)].astype(np.float64)
    spread = float(np.ptp(finite)) if finite.size else 0.0
    for count in _SPREADS:
        yield np.array(count * (spread or 1.0)).astype(values.dtype)


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
