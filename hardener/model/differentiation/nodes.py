"""One node of a graph, and how its attributes are read."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import onnx
from torch import Tensor

from hardener.errors import ModelError

Step = Callable[..., Tensor | tuple[Tensor, ...]]
"""Takes a node's inputs, None for those left out, and gives its outputs."""

Builder = Callable[["Node"], Step]
"""Reads a node's attributes; raises ModelError where it cannot do what they say."""


class Operator(NamedTuple):
    """How the nodes of one operator are run.

    Attributes:
        build: gives a node's step.
        numbers: places of the inputs that steer a node, like axes and shapes: they are read as
            numbers and stay in the processor's memory.
    """

    build: Builder
    numbers: tuple[int, ...] = ()


def plain(function: Step, *numbers: int) -> Operator:
    """An operator without attributes.

    Args:
        function: takes its inputs.
        numbers: places of the inputs that steer it.
    """
    return Operator(lambda _: function, numbers)


@dataclass(frozen=True, eq=False)
class Node:
    """An operator with its inputs and outputs.

    Attributes:
        name: for messages.
        domain: "" for the standard operators.
        op: the operator.
        opset: version of the domain's operators.
        inputs: tensor names, "" for those left out.
        outputs: likewise.
        attributes: by name.
    """

    name: str
    domain: str
    op: str
    opset: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, onnx.AttributeProto]

    def has(self, name: str) -> bool:
        """Whether an attribute is given."""
        return name in self.attributes

    def integer(self, name: str, default: int) -> int:
        """A whole number, or its default."""
        return int(self.attributes[name].i) if name in self.attributes else default

    def number(self, name: str, default: float) -> float:
        """A real number, or its default."""
        return float(self.attributes[name].f) if name in self.attributes else default

    def text(self, name: str, default: str) -> str:
        """A string, or its default."""
        if name not in self.attributes:
            return default
        return self.attributes[name].s.decode("utf-8", "replace")

    def integers(self, name: str) -> list[int] | None:
        """Whole numbers, None where they are left out."""
        return [int(i) for i in self.attributes[name].ints] if name in self.attributes else None

    def numbers(self, name: str) -> list[float] | None:
        """Real numbers, None where they are left out."""
        return [float(f) for f in self.attributes[name].floats] if name in self.attributes else None

    def refusal(self, reason: str) -> ModelError:
        """The error that names this node."""
        domain = f"{self.domain}." if self.domain else ""
        return ModelError(f"node {self.name!r} ({domain}{self.op}) has no gradient here: {reason}")

    def only_first_output(self) -> None:
        """Refuses where more than the first output is asked for."""
        if any(self.outputs[1:]):
            raise self.refusal("only its first output is supported")

    def one_of(self, name: str, default: str, choices: Sequence[str]) -> str:
        """A string that has to be one of some."""
        value = self.text(name, default)
        if value not in choices:
            raise self.refusal(f"{name} {value!r} is not supported")
        return value


def whole(values: Tensor | None) -> list[int] | None:
    """The numbers in a tensor of shapes, axes or indices; None where it is left out."""
    return None if values is None else [int(value) for value in values.flatten().tolist()]
