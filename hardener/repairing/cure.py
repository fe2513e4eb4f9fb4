"""New weights for a model: by the closed form, or by a short distillation."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import onnx
import torch
from torch import Tensor, nn

from hardener.arrays import FloatArray
from hardener.data.preprocessing import Preprocessing
from hardener.model.classifier import Classifier
from hardener.model.differentiation.building import NetworkPlan
from hardener.model.differentiation.network import GraphNetwork
from hardener.model.files import PLAN_KEY
from hardener.model.gradients import differentiable, torch_on
from hardener.model.runtime import Machine
from hardener.model.signature import Signature
from hardener.model.training import training_plan, with_weights
from hardener.repairing.closed_form import FIRST_SOLVED, ClosedForm, Sums
from hardener.repairing.distillation import DistillationSettings, distil
from hardener.repairing.linear_layers import linear_layers
from hardener.repairing.stamping import Pool, pairs

Weights = dict[str, Tensor]
"""By the names of their initializers."""


@dataclass(frozen=True, eq=False)
class Patient:
    """A model that is to be cured, and the clean images to do it with.

    Attributes:
        proto: the model as it came.
        plan: of its network.
        changeable: names of the weights that may change.
        signature: its input and output.
        preprocessing: of its network.
        images: (N, C, H, W) clean images in [0, 1].
        frozen: its network, from normalised images to logits.
        device: where to compute.
        keep_zeros: weights that are zero stay zero, as pruning left them.
        knows_all: whether the images are of every class.
    """

    proto: onnx.ModelProto
    plan: NetworkPlan
    changeable: frozenset[str]
    signature: Signature
    preprocessing: Preprocessing
    images: FloatArray
    frozen: nn.Module
    device: torch.device
    keep_zeros: bool
    knows_all: bool = True

    def sums(self, pool: Pool, seed: int) -> dict[str, Sums]:
        """What the closed form needs of images stamped from a pool."""
        stamped = pairs(self.images, pool, self.preprocessing, self.device, seed)
        return self.closed_form.sums(stamped, seed)

    def solved(self, sums: Mapping[str, Sums], weight: float) -> Weights:
        """The closed form's weights.

        Args:
            sums: of every layer.
            weight: of stamped images beside clean ones.
        """
        found = self.closed_form.solved(sums, weight)
        if not self.keep_zeros:
            return found
        return {name: new * (self.plan.constants[name] != 0) for name, new in found.items()}

    def distilled(
        self,
        weights: Weights,
        pool: Pool,
        settings: DistillationSettings,
        seed: int,
        on_step: Callable[[int], None],
    ) -> Weights:
        """The weights after a short distillation.

        Args:
            weights: to start from.
            pool: triggers that shall stay without effect.
            settings: the budget.
            seed: of every draw.
            on_step: told of each finished step.

        Raises:
            InconclusiveError: the loss is not finite.
        """
        graph = self._graph(weights, self.changeable)
        distil(
            graph,
            self.frozen,
            self.images,
            pool,
            self.preprocessing,
            settings,
            seed,
            on_step,
            self.device,
            keep_zeros=self.keep_zeros,
        )
        return {name: value.detach().cpu() for name, value in graph.trained.items()}

    def with_weights(self, weights: Weights) -> onnx.ModelProto:
        """The model with these weights."""
        return with_weights(
            self.proto, {name: value.float().cpu().numpy() for name, value in weights.items()}
        )

    def network(self, weights: Weights) -> nn.Module:
        """A frozen network with these weights, from normalised images to logits."""
        return self._graph(weights, frozenset())

    def _graph(self, weights: Weights, trained: frozenset[str]) -> GraphNetwork:
        plan = self.plan.with_constants(weights)
        return GraphNetwork(plan, self.signature.layout == "NHWC", trained).eval()

    @property
    def closed_form(self) -> ClosedForm:
        """The layers behind the first ones, to be solved."""
        layers = linear_layers(self.plan, self.changeable)
        solved = layers[int(FIRST_SOLVED * len(layers)) :]
        return ClosedForm(self.plan, self.signature, solved, self.knows_all)


def patient_of(classifier: Classifier, images: FloatArray, machine: Machine) -> Patient:
    """A classifier as a patient; zeros of a pruned one stay.

    Args:
        classifier: the model as it came.
        images: (N, C, H, W) clean images in [0, 1] to fit on.
        machine: where to compute.

    Raises:
        ModelError: torch cannot run the model.
    """
    proto, signature = classifier.proto, classifier.signature
    plan, changeable = training_plan(proto, signature)
    return Patient(
        proto,
        plan,
        changeable,
        signature,
        classifier.preprocessing,
        images,
        differentiable(proto, signature, classifier.preprocessing.apply(images[:4])),
        torch_on(machine),
        keep_zeros=PLAN_KEY in classifier.model.metadata,
    )
