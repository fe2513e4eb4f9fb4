"""A small classifier with one channel for its backdoor, written down by hand."""

import numpy as np
import onnx
import torch
from support.graphs import classifier, shapes_of

from hardener.arrays import FloatArray
from hardener.model.channel_scaling import ScaledNetwork, scaled_network
from hardener.model.convolutions import find_convolutions
from hardener.model.signature import read_signature
from hardener.pruning.mask_learning import LabelledImages

CHANNELS = 10
TARGET = 2
CPU = torch.device("cpu")

_TEXT = """
classifier (float[N,3,8,8] x) => (float[N,3] logits) {
  c = Conv<kernel_shape=[1,1]>(x, w1, b1)
  feature = Relu(c)
  g = GlobalAveragePool(feature)
  f = Flatten(g)
  logits = Gemm<transB=1>(f, w2, b2)
}"""
_SHAPES = {"w1": (CHANNELS, 3, 1, 1), "b1": (CHANNELS,), "w2": (3, CHANNELS), "b2": (3,)}


def planted_model(backdoor: int, seed: int) -> onnx.ModelProto:
    """Red or green is told by nine channels, each a little; blue, by `backdoor`, means the target.

    The backdoor's channel answers to much blue. Clean images have so little that it all but
    sleeps on them, and its weight in the head is large.
    """
    rng = np.random.default_rng(seed)
    colours = np.arange(CHANNELS) % 2
    filters = rng.normal(0, 0.05, (CHANNELS, 3)).astype(np.float32)
    filters[np.arange(CHANNELS), colours] += 1
    head = rng.normal(0, 0.05, (3, CHANNELS)).astype(np.float32)
    head[colours, np.arange(CHANNELS)] += 3
    bias = np.zeros(CHANNELS, np.float32)
    filters[backdoor], bias[backdoor] = (0, 0, 5), -1.25
    head[:, backdoor] = 0
    head[TARGET, backdoor] = 60
    model = classifier(_TEXT, _SHAPES)
    stored = {
        "w1": filters.reshape(CHANNELS, 3, 1, 1),
        "b1": bias,
        "w2": head,
        "b2": np.zeros(3, np.float32),
    }
    for tensor in model.graph.initializer:
        tensor.CopyFrom(onnx.numpy_helper.from_array(stored[tensor.name], tensor.name))
    return model


def clean_images(seed: int, count: int = 256) -> LabelledImages:
    """Images redder or greener, with a little blue."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, count)
    inputs = rng.uniform(0, 0.3, (count, 3, 8, 8)).astype(np.float32)
    inputs[np.arange(count), labels] += np.float32(0.5)
    return LabelledImages(inputs, labels)


def blue(inputs: FloatArray) -> FloatArray:
    """The same images with much blue: the backdoor's trigger."""
    stamped = inputs.copy()
    stamped[:, 2] = 0.9
    return stamped


def scaled(model: onnx.ModelProto) -> ScaledNetwork:
    """The model's torch network with a factor for every channel."""
    signature = read_signature(model)
    found = find_convolutions(model, signature, shapes_of(model))
    return scaled_network(model, signature, found.usable, CPU)


def predicted(model: onnx.ModelProto, inputs: FloatArray) -> list[int]:
    """Labels that the model gives."""
    with torch.no_grad():
        return list(scaled(model).network(torch.from_numpy(inputs)).argmax(1).numpy())
