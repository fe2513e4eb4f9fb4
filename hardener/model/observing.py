"""Shapes as they are when a model runs, rather than as its graph declares them."""

from collections.abc import Mapping

import onnx
import onnxruntime as ort

from hardener.arrays import AnyArray
from hardener.errors import ModelError, one_line
from hardener.model.sessions import open_session

_NO_TENSORS = frozenset(
    {
        "Optional", "SequenceConstruct", "SequenceEmpty", "SequenceErase", "SequenceInsert",
        "SequenceMap", "SplitToSequence", "ZipMap",
    }
)  # fmt: skip


def observed_shapes(
    proto: onnx.ModelProto, feeds: Mapping[str, AnyArray], threads: int = 1
) -> dict[str, tuple[int, ...]]:
    """Runs a model once on the CPU and notes the shape of every tensor of its main graph.

    Behind each tensor stands a `Shape` node whose output is fetched instead of the tensor, and
    onnxruntime runs such nodes first, so that activations are freed as in any other run.

    Args:
        proto: the model, weights included; not changed.
        feeds: one array for each input.
        threads: of one operator.

    Returns:
        Name to shape: inputs, weights and what every node gives. What is computed inside a
        subgraph, a sequence or an optional value is left out.

    Raises:
        ModelError: onnxruntime refuses the model or stops while running it.
    """
    shapes = {tensor.name: tuple(tensor.dims) for tensor in proto.graph.initializer}
    shapes |= {tensor.values.name: tuple(tensor.dims) for tensor in proto.graph.sparse_initializer}
    shapes |= {name: tuple(array.shape) for name, array in feeds.items()}
    computed = _computed(proto.graph)
    added = onnx.ModelProto()
    prefix = _unused_prefix({*shapes, *computed})
    wanted = [f"{prefix}{number}" for number in range(len(computed))]
    for name, shape_name in zip(computed, wanted, strict=True):
        added.graph.node.append(onnx.helper.make_node("Shape", [name], [shape_name], shape_name))
        added.graph.output.append(
            onnx.helper.make_tensor_value_info(shape_name, onnx.TensorProto.INT64, [None])
        )
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.execution_order = ort.ExecutionOrder.PRIORITY_BASED
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    try:
        more = added.SerializeToString()
        session = open_session(proto, options, ["CPUExecutionProvider"], more)
        found = session.run(wanted, dict(feeds))
    except Exception as error:  # onnxruntime's exceptions share no base class
        raise ModelError(f"onnxruntime cannot run the model: {one_line(error)}") from error
    for name, shape in zip(computed, found, strict=True):
        shapes[name] = tuple(map(int, shape))
    return shapes


def _computed(graph: onnx.GraphProto) -> list[str]:
    """Names of the tensors that the graph's nodes give, without sequences and optionals."""
    other = {
        value.name
        for value in (*graph.value_info, *graph.output)
        if value.type.WhichOneof("value") not in (None, "tensor_type")
    }
    return [
        name
        for node in graph.node
        if node.op_type not in _NO_TENSORS
        for name in node.output
        if name and name not in other
    ]


def _unused_prefix(names: set[str]) -> str:
    prefix = "shape of "
    while any(name.startswith(prefix) for name in names):
        prefix += "the "
    return prefix
