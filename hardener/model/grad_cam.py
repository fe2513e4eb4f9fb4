"""Grad-CAM: where in an image the feature layer speaks for a label.

Source: Selvaraju et al. 2017 (ICCV), equations 1 and 2; Cheng et al. 2020, section 3. The channels'
weights are the mean gradients of the label's logit; their sum over the channels is kept where it
is positive. Computed by captum over the gradient bridge.
"""

import numpy as np
import torch
from captum.attr import LayerAttribution, LayerGradCam
from torch import Tensor, nn

from hardener.arrays import FloatArray, IntArray
from hardener.errors import ModelError
from hardener.model.classifier import Classifier
from hardener.model.differentiation.building import read_plan
from hardener.model.differentiation.fusing import fused
from hardener.model.differentiation.network import GraphNetwork
from hardener.model.differentiation.tapping import tapped
from hardener.model.gradients import require_logits_of_onnxruntime
from hardener.model.token_grid import grid_of
from hardener.model.topology import FeatureLayer

_IMAGES_AT_ONCE = 16


class GradCam:
    """Draws heat maps of one model."""

    def __init__(self, classifier: Classifier, layer: FeatureLayer, examples: FloatArray) -> None:
        """Builds the network and checks it against onnxruntime.

        Args:
            classifier: the model.
            layer: its feature layer.
            examples: (N, C, H, W) images in [0, 1] to check it on.

        Raises:
            InconclusiveError: the model's logits are not finite.
            ModelError: an operator has no gradient here, none leads to the layer, its positions
                form no grid, it holds integers, or torch and onnxruntime disagree.
        """
        if not layer.positions or layer.scale is not None:
            why = "holds integers" if layer.positions else "has no positions"
            raise ModelError(f"the feature layer {layer.name!r} {why}: no Grad-CAM of it")
        proto, signature = classifier.proto, classifier.signature
        tap = _Tap(layer.axis)
        plan = fused(tapped(read_plan(proto, signature.input, signature.logits), layer.name, tap))
        self._network = _Tapped(GraphNetwork(plan, signature.layout == "NHWC"), tap).eval()
        self._preprocessing = classifier.preprocessing
        self._at_once = signature.batch or _IMAGES_AT_ONCE
        self._fixed = signature.batch is not None
        examples = self._filled_up(examples[: self._at_once])
        require_logits_of_onnxruntime(
            self._network, proto, signature, plan, self._normalised(examples)
        )
        self._method = LayerGradCam(self._network, tap.shown)
        self.heat_maps(examples[:1], np.zeros(1, np.int64))  # refuses now what it would later

    def heat_maps(self, images: FloatArray, labels: IntArray) -> FloatArray:
        """Heat maps of images, each for one label.

        Args:
            images: (N, C, H, W) in [0, 1].
            labels: (N,) the label that each is asked about.

        Returns:
            (N, H, W) in units of logit times activation, 0 or more; not scaled, so that maps of
            one model can be compared.
        """
        parts = [
            self._part(images[start : start + self._at_once], labels[start : start + self._at_once])
            for start in range(0, len(images), self._at_once)
        ]
        return np.concatenate(parts) if parts else np.empty((0, *images.shape[2:]), np.float32)

    def _part(self, images: FloatArray, labels: IntArray) -> FloatArray:
        filled = self._normalised(self._filled_up(images))
        asked = np.concatenate([labels, np.repeat(labels[-1:], len(filled) - len(labels))])
        inputs = torch.from_numpy(filled).requires_grad_()
        try:
            found = self._method.attribute(
                inputs, target=torch.from_numpy(asked), relu_attributions=True
            )
        except RuntimeError as error:  # torch's, where no gradient leads to the layer
            raise ModelError("no gradient leads from the class scores to its layer") from error
        before, *grid = grid_of(found.shape[2:])
        maps = found.detach().float().flatten(2)[:, :, before:].unflatten(2, tuple(grid))
        size = tuple(images.shape[2:])
        large = LayerAttribution.interpolate(maps, size, interpolate_mode="bilinear")
        values: FloatArray = large[: len(images), 0].numpy()
        return values

    def _filled_up(self, images: FloatArray) -> FloatArray:
        """Where the graph fixes how many images it takes, the last one again."""
        lacking = self._at_once - len(images) if self._fixed else 0
        return np.concatenate([images, np.repeat(images[-1:], lacking, axis=0)])

    def _normalised(self, images: FloatArray) -> FloatArray:
        return self._preprocessing.apply(images)


class _Tap(nn.Module):
    """Shows a tensor with its channels behind the images, and passes it on as it is."""

    def __init__(self, axis: int) -> None:
        super().__init__()
        self._axis = axis
        self.shown = nn.Identity()

    def forward(self, values: Tensor) -> Tensor:
        shown: Tensor = self.shown(values.movedim(self._axis, 1))
        return shown.movedim(1, self._axis)


class _Tapped(nn.Module):
    """A network and its tap, which captum has to find among its parts."""

    def __init__(self, network: GraphNetwork, tap: _Tap) -> None:
        super().__init__()
        self.network = network
        self.tap = tap

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network(images)
        return logits
