"""New weights for a model: by the closed form, by a short distillation, or front to back."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import onnx
import torch
from torch import Tensor, nn

from hardener.arrays import FloatArray
from hardener.data.preprocessing import Preprocessing
from hardener.model.classifier import Classifier
from hardener.model.differentiation.building import NetworkPlan
from hardener.model.differentiation.fusing import fused
from hardener.model.differentiation.network import GraphNetwork
from hardener.model.files import PLAN_KEY
from hardener.model.gradients import differentiable, torch_on
from hardener.model.runtime import Machine
from hardener.model.signature import Signature
from hardener.model.training import training_plan, with_weights
from hardener.repairing.closed_form import FIRST_SOLVED, ClosedForm, Sums
from hardener.repairing.distillation import DistillationSettings, distil
from hardener.repairing.front_to_back import solved_front_to_back
from hardener.repairing.linear_layers import linear_layers
from hardener.repairing.stamping import Pool, pairs

_IMAGES_A_LAYER = 1024
"""Of more, every second, third and so on is seen where layers are solved front to back."""

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

    def sums(self, pool: Pool, seed: int) -> dict[str, Sums]:
        """What the closed form needs of images stamped from a pool."""
        stamped = pairs(self.images, pool, self.preprocessing, self.device, seed)
        return self._closed_form.sums(stamped, seed)

    def solved(self, sums: Mapping[str, Sums], weight: float) -> Weights:
        """The closed form's weights.

        Args:
            sums: of every layer.
            weight: of stamped images beside clean ones.
        """
        return self._with_zeros(self._closed_form.solved(sums, weight))

    def solved_front_to_back(self, weights: Weights, pools: Sequence[Pool], seed: int) -> Weights:
        """The weights after each layer was solved behind those before it.

        Args:
            weights: to start from.
            pools: triggers of the first layer, of the second and so on, then again the first.
            seed: of every draw.
        """

        def stamped(number: int) -> Iterator[tuple[Tensor, Tensor]]:
            images = self.images[:: max(1, len(self.images) // _IMAGES_A_LAYER)]
            pool = pools[number % len(pools)]
            return pairs(images, pool, self.preprocessing, self.device, seed + number)

        return self._with_zeros(solved_front_to_back(self._closed_form, weights, stamped))

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
        plan = self.plan.with_constants(weights)
        graph = GraphNetwork(plan, self.signature.layout == "NHWC", self.changeable).eval()
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
        plan = fused(self.plan.with_constants(weights))
        return GraphNetwork(plan, self.signature.layout == "NHWC").eval()

    def _with_zeros(self, weights: Weights) -> Weights:
        """The weights, with zeros where those of a pruned model are."""
        if not self.keep_zeros:
            return weights
        return {name: new * (self.plan.constants[name] != 0) for name, new in weights.items()}

    @property
    def _closed_form(self) -> ClosedForm:
        layers = linear_layers(self.plan, self.changeable)
        return ClosedForm(self.plan, self.signature, layers[int(FIRST_SOLVED * len(layers)) :])


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
