import numpy as np
import onnx
import torch
from support.graphs import classifier
from support.graphs import images as graph_images

from hardener.model.differentiation.fusing import fused
from hardener.model.differentiation.network import GraphNetwork
from hardener.model.network_plan import network_plan
from hardener.model.signature import read_signature


def test_awake_it_computes_the_same_and_has_a_slope_where_rectifiers_sleep() -> None:
    text = """
    classifier (float[N,3,8,8] x) => (float[N,2] logits) {
      c = Conv<kernel_shape=[8,8]>(x, w, b)
      r = Relu(c)
      k = Clip(r, low, high)
      logits = Flatten(k)
    }"""
    shapes = {"w": (2, 3, 8, 8), "b": (2,), "low": 0.0, "high": 6.0}
    model = classifier(text, shapes)
    (bias,) = [tensor for tensor in model.graph.initializer if tensor.name == "b"]
    bias.raw_data = np.array([-100.0, 100.0], np.float32).tobytes()
    network = GraphNetwork(
        fused(network_plan(model, read_signature(model))), channels_last=False
    ).eval()
    images = torch.from_numpy(graph_images(4)).requires_grad_()
    asleep, awake = network(images), network.awake()(images)
    torch.testing.assert_close(awake, asleep)
    assert torch.equal(asleep, torch.tensor([[0.0, 6.0]] * 4))
    (nothing,) = torch.autograd.grad(asleep.sum(), images, retain_graph=True)
    assert not nothing.any()
    (slope,) = torch.autograd.grad(awake.sum(), images)
    weights = torch.tensor(onnx.numpy_helper.to_array(model.graph.initializer[0]))
    torch.testing.assert_close(slope, weights.sum(0).expand(4, -1, -1, -1))
    assert torch.equal(network(images), asleep)
