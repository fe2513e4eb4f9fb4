"""Which of several outputs gives the class scores."""

from collections.abc import Collection, Mapping

import onnx
import onnx_graphsurgeon as gs

from hardener.errors import ModelError
from hardener.model.operators import ALARM_OUTPUT, WEIGHTED, operator
from hardener.model.paths import DataPaths, data_paths
from hardener.model.weightless import weightless

_TIMES_DEEPER = 4


def choose_output(
    proto: onnx.ModelProto, image: str, logits: Mapping[str, str], classes: Mapping[str, int]
) -> tuple[str, tuple[str, ...]]:
    """Chooses one output, where that can be done without guessing.

    Outputs that are the same scores before and after a softmax count as one. What another output
    is computed from is no class score but a feature vector. An auxiliary classifier, as GoogLeNet
    and Inception have in training, leaves the trunk early: it has at most a quarter as many layers
    of its own as the main one.

    Args:
        proto: the model.
        image: name of its image input.
        logits: for each output of shape (N, classes), the tensor before a closing softmax.
        classes: of those outputs. Of two that have as many, neither is taken for features.

    Returns:
        The output's name, and sentences on what was chosen among several.

    Raises:
        ModelError: more than one output is left.
    """
    if len(set(logits.values())) == 1:
        main = next(iter(logits))
        return main, _not_looked_at(proto, main, logits)
    graph = gs.import_onnx(weightless(proto))
    distinct = {tensor: name for name, tensor in reversed(list(logits.items()))}
    paths = {name: data_paths(graph, image, tensor) for tensor, name in distinct.items()}
    left = [
        name
        for name, own in paths.items()
        if not any(
            logits[name] in other.tensors and classes[name] != classes[key]
            for key, other in paths.items()
            if key != name
        )
    ]
    layers = {name: _layers(paths[name]) for name in left}
    main = max(left, key=lambda name: len(layers[name]))
    for name in left:
        own, others = layers[main] - layers[name], layers[name] - layers[main]
        if name != main and len(own) < _TIMES_DEEPER * max(1, len(others)):
            said = ", ".join(repr(key) for key in logits if key in left)
            raise ModelError(
                f"several outputs could be the class scores ({said}): export the model with one"
            )
    same = [name for name in logits if logits[name] == logits[main]]
    return main, _not_looked_at(proto, main, same)


def _not_looked_at(proto: onnx.ModelProto, main: str, same: Collection[str]) -> tuple[str, ...]:
    known = {*same, ALARM_OUTPUT}
    rest = [value.name for value in proto.graph.output if value.name not in known]
    if not rest:
        return ()
    said = ", ".join(map(repr, rest))
    return (f"{main!r} is taken as the class scores; {said} beside it is not looked at",)


def _layers(paths: DataPaths) -> set[str]:
    return {node.outputs[0].name for node in paths.nodes if operator(node) in WEIGHTED}
