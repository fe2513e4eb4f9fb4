"""Mutations of an ONNX model as a message: each leaves a file that still parses."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.random import Generator
from onnx import AttributeProto, TensorProto, helper

Mutation = Callable[[Generator, onnx.ModelProto], None]

_SIZES = (-(2**63), -1, 0, 1, 2, 3, 5, 7, 1000, 2**20, 2**31 - 1, 2**31, 2**40, 2**62)
_NAMES = (
    "",
    "x",
    "\x1b[2J\nverdict: clean",
    "a" * 10_000,
    "[/red]",
    "../../etc",
    "ℓ\u202e",
    "\x00",
)
_OPERATORS = sorted({schema.name for schema in onnx.defs.get_all_schemas()})
_LOCATIONS = ("", ".", "..", "../m.onnx", "/etc/passwd", "/dev/zero", "m.onnx", "w\x00", "w.bin/")
_UNARY = (
    "Abs", "ArgMax", "Ceil", "Erf", "Exp", "Flatten", "GlobalMaxPool", "HardSwish", "Identity",
    "IsNaN", "Log", "LogSoftmax", "LpNormalization", "NonZero", "Not", "Reciprocal", "ReduceSum",
    "Relu", "Shape", "Size", "Softmax", "SplitToSequence", "Sqrt", "Squeeze", "Transpose", "Unique",
)  # fmt: skip
_BINARY = (
    "Add", "And", "Compress", "Concat", "Conv", "ConvTranspose", "Div", "Equal", "Expand", "Gather",
    "GatherND", "Gemm", "Greater", "MatMul", "Max", "Mean", "Mod", "Mul", "Pow", "PRelu",
    "ReduceMean", "Reshape", "Slice", "Sub", "Sum", "Tile", "TopK", "Unsqueeze",
)  # fmt: skip
_OF_SIZE = {1: (1, 6, 12), 7: (7, 11, 13), 3: (2, 3, 9), 2: (2, 3, 9), 6: (1, 6, 12)}
_ONCE = frozenset({"bomb", "chain", "extra parts", "versions"})
_VALUES = (np.nan, np.inf, -np.inf, 0.0, 1e-38, 3e38, -1e30)


def mutate_model(rng: Generator, content: bytes) -> tuple[str, bytes]:
    """Applies one to three mutations of one kind.

    Returns:
        The kind's name and the changed file.
    """
    kinds = list(MODEL_MUTATIONS)
    kind = kinds[int(rng.integers(len(kinds)))]
    model = onnx.load_model_from_string(content)
    for _ in range(1 if kind in _ONCE or rng.random() < 0.6 else 2):
        MODEL_MUTATIONS[kind](rng, model)
    return kind, model.SerializeToString()


def _any(rng: Generator, items: Sequence[Any]) -> Any:  # noqa: ANN401
    return items[int(rng.integers(len(items)))]


def _dims(rng: Generator, model: onnx.ModelProto) -> None:
    dims = _any(rng, model.graph.initializer).dims
    if len(dims) > 1 and rng.random() < 0.5:
        dims[0], dims[-1] = dims[-1], dims[0]
    elif len(dims) and rng.random() < 0.7:
        dims[int(rng.integers(len(dims)))] = _any(rng, _SIZES)
    else:
        dims.append(_any(rng, _SIZES))


def _weight_type(rng: Generator, model: onnx.ModelProto) -> None:
    tensor = _any(rng, model.graph.initializer)
    alike = _OF_SIZE.get(tensor.data_type, (0,))
    tensor.data_type = _any(rng, alike) if rng.random() < 0.6 else int(rng.integers(-1, 30))


def _weight_bytes(rng: Generator, model: onnx.ModelProto) -> None:
    tensor = _any(rng, model.graph.initializer)
    cut = int(rng.integers(len(tensor.raw_data) + 1))
    tensor.raw_data = tensor.raw_data[:cut] if rng.random() < 0.5 else tensor.raw_data + b"\1" * cut


def _weight_values(rng: Generator, model: onnx.ModelProto) -> None:
    floats = [t for t in model.graph.initializer if t.data_type == TensorProto.FLOAT and t.raw_data]
    if floats:
        tensor = _any(rng, floats)
        values = np.frombuffer(tensor.raw_data, np.float32).copy()
        values[rng.integers(len(values), size=1 + len(values) // 10)] = _any(rng, _VALUES)
        tensor.raw_data = values.tobytes()


def _attribute(rng: Generator, model: onnx.ModelProto) -> None:
    nodes = [node for node in model.graph.node if node.attribute]
    if not nodes:
        return
    node = _any(rng, nodes)
    item = _any(rng, node.attribute)
    what = int(rng.integers(9))
    if what == 0:
        node.attribute.remove(item)
    elif what == 1:
        item.name = _any(rng, ("axis", "group", "dilations", "auto_pad", "axes", "to", ""))
    elif what == 2:
        item.type = int(rng.integers(0, 15))
    elif what == 3:
        node.attribute.append(item)
    elif item.type == AttributeProto.INT:
        item.i = _any(rng, (0, 1, 2, -1, *_SIZES))
    elif item.ints:
        item.ints[int(rng.integers(len(item.ints)))] = _any(rng, (0, 1, 2, 3, 4, *_SIZES))
    else:
        item.ints.append(_any(rng, _SIZES))


def _operator(rng: Generator, model: onnx.ModelProto) -> None:
    node = _any(rng, model.graph.node)
    if rng.random() < 0.7:
        node.op_type = _any(rng, _UNARY if len(node.input) == 1 else _BINARY)
        del node.input[2:]
        if rng.random() < 0.8:
            del node.attribute[:]
    elif rng.random() < 0.6:
        node.op_type = _any(rng, _OPERATORS)
    else:
        node.domain = _any(rng, ("ai.onnx", "ai.onnx.ml", "com.microsoft", "evil", "\x1b"))


def _edge(rng: Generator, model: onnx.ModelProto) -> None:
    place = int(rng.integers(len(model.graph.node)))
    node = model.graph.node[place]
    earlier = model.graph.node[: None if rng.random() < 0.2 else place]
    weights = [tensor.name for tensor in model.graph.initializer]
    known = [*(name for n in earlier for name in n.output), "x", *weights]
    known += ["", "unknown"] if rng.random() < 0.2 else []
    if rng.random() < 0.6 and node.input:
        node.input[int(rng.integers(len(node.input)))] = _any(rng, known)
    elif rng.random() < 0.5:
        node.input.append(_any(rng, known))
    else:
        node.output[0] = _any(rng, known)


def _nodes(rng: Generator, model: onnx.ModelProto) -> None:
    nodes = list(model.graph.node)
    what = int(rng.integers(3))
    if what == 0:
        nodes.pop(int(rng.integers(len(nodes))))
    elif what == 1:
        nodes.insert(int(rng.integers(len(nodes))), _any(rng, nodes))
    else:
        rng.shuffle(nodes)
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _name(rng: Generator, model: onnx.ModelProto) -> None:
    old = _any(rng, [name for node in model.graph.node for name in (*node.input, *node.output)])
    new = _any(rng, _NAMES)
    for node in model.graph.node:
        for names in (node.input, node.output):
            for position, name in enumerate(names):
                names[position] = new if name == old else name
    holders: Sequence[Any] = (*model.graph.initializer, *model.graph.input, *model.graph.output)
    for holder in holders:
        holder.name = new if holder.name == old else holder.name
    _any(rng, model.graph.node).name = _any(rng, _NAMES)


def _border(rng: Generator, model: onnx.ModelProto) -> None:
    value = _any(rng, [*model.graph.input, *model.graph.output])
    what = int(rng.integers(5))
    dims = value.type.tensor_type.shape.dim
    if what == 0:
        value.ClearField("type")
    elif what == 1:
        value.type.tensor_type.elem_type = int(rng.integers(0, 25))
    elif what == 2 and dims:
        dims[int(rng.integers(len(dims)))].dim_value = _any(rng, _SIZES)
    elif what == 3 and dims:
        dims[int(rng.integers(len(dims)))].dim_param = _any(rng, _NAMES)
    else:
        dims.add().dim_value = _any(rng, _SIZES)


def _declared(rng: Generator, model: onnx.ModelProto) -> None:
    """What the graph says of its tensors, at odds with what they are."""
    name = _any(rng, [name for node in model.graph.node for name in node.output])
    shape = [_any(rng, (None, 1, 2, 5, 6, *_SIZES)) for _ in range(int(rng.integers(5)))]
    kind = TensorProto.FLOAT if rng.random() < 0.8 else int(rng.integers(1, 20))
    model.graph.value_info.append(helper.make_tensor_value_info(name, kind, shape))


def _metadata(rng: Generator, model: onnx.ModelProto) -> None:
    texts = (
        "", "[", "null", '{"size": [1e400], "mean": [0], "std": [0]}', '{"size": [1024, 1024]}',
        '{"mean": [NaN]}', "[" * 5000, '["a", 1]', '["\\ud800"]', "9" * 5000, '{"size": [-1]}',
    )  # fmt: skip
    keys = [item.key for item in model.metadata_props] or ["hardener.preprocessing"]
    if not model.metadata_props or rng.random() < 0.1:
        model.metadata_props.add().key = _any(rng, keys)
    _any(rng, model.metadata_props).value = _any(rng, texts)


def _versions(rng: Generator, model: onnx.ModelProto) -> None:
    what = int(rng.integers(4))
    if what == 0:
        model.ir_version = _any(rng, _SIZES)
    elif what == 1:
        _any(rng, model.opset_import).version = _any(rng, (-1, 0, 1, 6, 7, 9, 12, 13, 18, 26, 99))
    elif what == 2:
        model.opset_import.append(helper.make_opsetid(_any(rng, ("", "evil", "ai.onnx")), 9))
    else:
        del model.opset_import[:]


def _external(rng: Generator, model: onnx.ModelProto) -> None:
    tensor = _any(rng, model.graph.initializer)
    del tensor.external_data[:]
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (
        ("location", _any(rng, (*_LOCATIONS, "w.bin", "w.bin"))),
        ("offset", str(_any(rng, (*_SIZES, "x", 0, 0)))),
        ("length", str(_any(rng, (*_SIZES, "", len(tensor.raw_data))))),
    ):
        if rng.random() < 0.8:
            entry = tensor.external_data.add()
            entry.key, entry.value = key, value


def _bomb(rng: Generator, model: onnx.ModelProto) -> None:
    """Few bytes that ask for much work, in front of the last node."""
    last = model.graph.node[-1]
    feed = last.input[0]
    huge = _any(rng, ([2**31], [2**20, 2**20], [-1], [2**62], [4096, 4096, 64]))
    pixels = rng.random() < 0.4
    size = "bomb.size"
    nodes: list[onnx.NodeProto] = []
    if pixels:
        nodes += [
            helper.make_node("Cast", [feed], ["bomb.cast"], to=TensorProto.INT64),
            helper.make_node("Shape", [feed], ["bomb.shape"]),
            helper.make_node("ReduceMax", ["bomb.cast"], [size], keepdims=0),
        ]
    else:
        nodes.append(helper.make_node("Constant", [], [size], value_ints=huge))
    operator = _any(rng, ("ConstantOfShape", "Expand", "Tile", "Range", "Loop", "Resize", "OneHot"))
    inputs = {
        "ConstantOfShape": [size], "Range": [size, size, size], "Resize": [feed, "", "", size],
        "OneHot": [size, size, size],
    }.get(operator, [feed, size])  # fmt: skip
    node = helper.make_node(operator, inputs, ["bomb"])
    if operator == "Loop":
        body = helper.make_graph(
            [helper.make_node("Identity", ["go"], ["on"])],
            "body",
            [
                helper.make_tensor_value_info("i", TensorProto.INT64, []),
                helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            ],
            [helper.make_tensor_value_info("on", TensorProto.BOOL, [])],
        )
        node = helper.make_node("Loop", [size, ""], [], body=body)
    nodes.append(node)
    if operator != "Loop":
        nodes += [
            helper.make_node("Size", ["bomb"], ["bomb.count"]),
            helper.make_node("Cast", ["bomb.count"], ["bomb.float"], to=TensorProto.FLOAT),
            helper.make_node("Sub", ["bomb.float", "bomb.float"], ["bomb.zero"]),
            helper.make_node("Add", [feed, "bomb.zero"], ["bomb.out"]),
        ]
        last.input[0] = "bomb.out"
    kept = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*kept[:-1], *nodes, kept[-1]])


def _chain(rng: Generator, model: onnx.ModelProto) -> None:
    last = model.graph.node[-1]
    first, count = last.input[0], int(_any(rng, (10, 100, 1000)))
    operator = _any(rng, ("Identity", "Relu", "Neg"))
    names = [f"{first}.{operator}{number}" for number in range(count)]
    kept = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(kept[:-1])
    for source, target in zip([first, *names], names, strict=False):
        model.graph.node.append(helper.make_node(operator, [source], [target]))
    kept[-1].input[0] = names[-1]
    model.graph.node.append(kept[-1])


def _extras(rng: Generator, model: onnx.ModelProto) -> None:
    what = int(rng.integers(5))
    if what == 0:
        model.graph.initializer.append(_any(rng, model.graph.initializer))
    elif what == 1:
        model.graph.input.append(helper.make_tensor_value_info("other", TensorProto.FLOAT, [1]))
    elif what == 2:
        name = _any(rng, [name for node in model.graph.node for name in node.output])
        model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    elif what == 3:
        node = helper.make_node("Relu", ["a"], ["b"])
        opsets = [helper.make_opsetid("", 17)]
        model.functions.append(helper.make_function("", "Relu", ["a"], ["b"], [node], opsets))
    else:
        del model.graph.output[:]


MODEL_MUTATIONS: dict[str, Mutation] = {
    "weight's dimensions": _dims,
    "weight's type": _weight_type,
    "weight's bytes": _weight_bytes,
    "weight's values": _weight_values,
    "attribute": _attribute,
    "operator": _operator,
    "edge": _edge,
    "nodes": _nodes,
    "names": _name,
    "input or output": _border,
    "declared shapes": _declared,
    "metadata": _metadata,
    "versions": _versions,
    "external data": _external,
    "bomb": _bomb,
    "chain": _chain,
    "extra parts": _extras,
}
