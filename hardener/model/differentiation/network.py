"""A plan as a torch module."""

from collections.abc import Collection
from copy import copy
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from hardener.errors import ModelError
from hardener.model.differentiation.building import NetworkPlan
from hardener.model.differentiation.nodes import Node, Step
from hardener.model.differentiation.table import host_inputs

_SLEEPING = frozenset({"Clip", "Relu", "ReluInPlace"})
"""What they give does not change where they are at their bound."""


@dataclass(frozen=True, eq=False)
class _Stage:
    """One step with its tensors' places; place 0 always holds None."""

    node: Node
    run: Step
    reads: tuple[int, ...]
    host: tuple[int, ...]
    writes: tuple[int, ...]
    done: tuple[int, ...]


class GraphNetwork(nn.Module):
    """Runs an ONNX graph node by node, with a gradient for the images and for chosen weights.

    A tensor is let go as soon as no later node reads it.

    Attributes:
        trained: parameters by the names of the constants that they replace.
    """

    def __init__(
        self, plan: NetworkPlan, channels_last: bool, trained: Collection[str] = frozenset()
    ) -> None:
        """Lays out a plan.

        Args:
            plan: the graph.
            channels_last: whether the graph takes images as (N, H, W, C); the module itself
                takes them as (N, C, H, W).
            trained: constants that become parameters; all others are frozen.
        """
        super().__init__()
        self._channels_last = channels_last
        places: dict[str, int] = {"": 0, plan.image: 1}
        self._start: list[Tensor | None] = [None, None]
        self._weights: list[tuple[int, str]] = []
        self.trained: dict[str, nn.Parameter] = {}
        weights = _weight_names(plan)
        convolved = {n.inputs[1] for n in plan.nodes if n.op == "Conv"}
        for name, value in plan.constants.items():
            places[name] = len(self._start)
            if name in weights:
                last = name in convolved and value.dim() == 4
                layout = torch.channels_last if last else torch.contiguous_format
                weight = f"weight_{len(self._weights)}"
                laid_out = value.contiguous(memory_format=layout)
                if name in trained:
                    self.trained[name] = nn.Parameter(laid_out.clone())
                    self.register_parameter(weight, self.trained[name])
                else:
                    self.register_buffer(weight, laid_out, persistent=False)
                self._weights.append((places[name], weight))
            self._start.append(None if name in weights else value)
        for node in plan.nodes:
            for name in node.outputs:
                places.setdefault(name, len(places))
        self._start += [None] * (len(places) - len(self._start))
        self._result = places[plan.result]
        self._batch = plan.batch
        self._stages = _stages(plan, places)

    def awake(self) -> "GraphNetwork":
        """The same network and weights, but that rectifiers which give nothing have a slope of 1.

        It computes what this one does; its gradients reach what sleeps on the images at hand.

        Source: Bengio et al. 2013 (arXiv 1308.3432), section 4, the straight-through estimator.
        """
        other = copy(self)
        other._stages = tuple(
            replace(stage, run=_straight_through(stage.run))
            if stage.node.op in _SLEEPING
            else stage
            for stage in self._stages
        )
        return other

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, classes) of normalised images (N, C, H, W).

        Where the graph fixes the batch it runs part by part; the last one is filled up with its
        last image.

        Raises:
            ModelError: torch could not run a node.
        """
        if self._batch is None:
            return self._logits(images)
        lacking = -len(images) % self._batch
        filled = torch.cat([images, images[-1:].expand(lacking, -1, -1, -1)])
        logits = torch.cat([self._logits(part) for part in torch.split(filled, self._batch)])
        return logits[: len(images)]

    def _logits(self, images: Tensor) -> Tensor:
        values = list(self._start)
        for place, weight in self._weights:
            values[place] = getattr(self, weight)
        values[1] = images.permute(0, 2, 3, 1) if self._channels_last else images
        elsewhere = images.device.type != "cpu"
        node = None
        try:
            for stage in self._stages:
                node = stage.node
                inputs = [values[place] for place in stage.reads]
                if elsewhere:
                    inputs = _together(inputs, stage.host, images.device)
                found = stage.run(*inputs)
                if isinstance(found, tuple):
                    for place, value in zip(stage.writes, found):  # noqa: B905  the last outputs may be left out
                        values[place] = value
                else:
                    values[stage.writes[0]] = found
                for place in stage.done:
                    values[place] = None
        except ModelError:
            raise
        except Exception as error:  # torch raises whatever does not fit a node
            name = f"node {node.name!r} ({node.op})" if node else "the model"
            raise ModelError(
                f"{name} cannot be run by torch: {' '.join(str(error).split())[:200]}"
            ) from error
        logits = values[self._result]
        if logits is None:
            raise ModelError("the model gives no logits")
        if images.requires_grad and not logits.requires_grad:
            # Comparisons or casts stand on every way here: the slope is zero, not an error.
            return logits + 0 * images.sum()
        return logits


def _weight_names(plan: NetworkPlan) -> set[str]:
    """Constants that are computed with, not numbers that steer a node."""
    return {
        name
        for node in plan.nodes
        for index, name in enumerate(node.inputs)
        if name in plan.constants
        and index not in host_inputs(node)
        and plan.constants[name].is_floating_point()
        and plan.constants[name].dim()
    }


def _stages(plan: NetworkPlan, places: dict[str, int]) -> tuple[_Stage, ...]:
    last = {name: i for i, node in enumerate(plan.nodes) for name in node.inputs}
    stages = []
    for i, (node, run) in enumerate(zip(plan.nodes, plan.steps, strict=True)):
        done = {
            places[name]
            for name in (*node.inputs, *node.outputs)
            if name and last.get(name, i) == i and name not in (*plan.constants, plan.result)
        }
        reads = tuple(places[name] for name in node.inputs)
        writes = tuple(places[name] for name in node.outputs)
        stages.append(_Stage(node, run, reads, host_inputs(node), writes, tuple(done)))
    return tuple(stages)


def _together(
    inputs: list[Tensor | None], host: tuple[int, ...], device: torch.device
) -> list[Tensor | None]:
    """Moves small constants to the device where others already are."""
    if not any(x is not None and x.device.type != "cpu" for x in inputs):
        return inputs
    return [
        x.to(device) if x is not None and i not in host and x.dim() else x
        for i, x in enumerate(inputs)
    ]


def _straight_through(run: Step) -> Step:
    def step(values: Tensor, *bounds: Tensor | None) -> Tensor:
        found = run(values.detach().clone(), *bounds)  # it may write in place
        return _WithSlope.apply(values, found)

    return step


class _WithSlope(torch.autograd.Function):
    """Values of one tensor with the gradient of another."""

    @staticmethod
    def forward(_: object, values: Tensor, found: Tensor) -> Tensor:
        del values
        return found

    @staticmethod
    def backward(_: object, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None
