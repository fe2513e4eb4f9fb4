"""A mutated model through the calls that `harden inspect` and `harden prune --channels` make."""

import contextlib
import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from numpy.random import Generator

import hardener
from benchmarks.fuzzing.byte_mutations import mutate_bytes
from benchmarks.fuzzing.model_mutations import mutate_model
from benchmarks.fuzzing.model_seeds import MODEL, Files
from benchmarks.fuzzing.trials import Stage, require
from hardener.cli.commands.inspect import summary
from hardener.cli.console import print_lines
from hardener.documents.prune import PruneResult
from hardener.errors import ExaminationBugError, HardenError
from hardener.model import quarantine
from hardener.model.files import load_model

_TOLERANCE = 2e-4
_FREE_SIDE = 16
_LARGEST_SIDE = 256


def mutated_files(rng: Generator, files: Files) -> tuple[str, dict[str, bytes]]:
    """One file of a seed mutated, as bytes or as a message; the name of the mutation."""
    changed = dict(files)
    if rng.random() < 0.65:
        kind, changed[MODEL] = mutate_model(rng, files[MODEL])
        return f"message: {kind}", changed
    name = sorted(files)[int(rng.integers(len(files)))]
    kind, changed[name] = mutate_bytes(rng, files[name])
    return f"bytes: {kind}", changed


def model_case(rng: Generator, folder: Path) -> tuple[str, Callable[[Stage], None]]:
    """What to do with the mutated model that lies in `folder`, and the command's name."""
    model = folder / MODEL
    if rng.random() < 0.3:
        return "inspect", lambda stage: _inspect(stage, model)
    rewrite = str(rng.choice(["fold", "mask", "slim"]))
    channels = [0] if rng.random() < 0.5 else [1, 4]
    return "prune", lambda stage: _prune(stage, model, channels, rewrite)


def _inspect(stage: Stage, model: Path) -> None:
    with _examined_in_this_process(stage):
        found = hardener.inspect(model)
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        print_lines(summary(found))
    found.model_dump_json()
    require("\x1b" not in text.getvalue(), "a control character was printed")


def _prune(stage: Stage, model: Path, channels: Sequence[int], rewrite: str) -> None:
    output = model.with_name("h.onnx")
    try:
        with _examined_in_this_process(stage):
            result = hardener.prune_channels(model, channels, output, rewrite=rewrite)
    except HardenError:
        left = sorted(path.name for path in model.parent.iterdir() if "h." in path.name)
        require(not left, f"refused, but {left} was written")
        raise
    require(PruneResult.read(output.with_suffix(".json")) == result, "the JSON is not the result")
    original, hardened = onnx.load(model), onnx.load(output)
    for before, after in (
        (original.graph.output, hardened.graph.output),
        (_free_inputs(original), _free_inputs(hardened)),
    ):
        require(
            [(v.name, v.type) for v in before] == [(v.name, v.type) for v in after],
            "inputs or outputs changed",
        )
    feeds = _noise(original, load_model(model).preferred_size)
    expected = _masked_logits(original, result.layer.name, result.layer.axis, channels, feeds)
    found = _session(hardened).run(None, feeds)
    for wanted, got in zip(expected, found, strict=True):
        allowed = _TOLERANCE * max(1.0, float(np.abs(wanted[np.isfinite(wanted)]).max(initial=0)))
        # Huge weights may overflow on this noise; then they must do so in both.
        same = np.allclose(wanted, got, rtol=0, atol=allowed, equal_nan=True)
        require(same, f"outputs differ by {np.nanmax(np.abs(wanted - got)):.3g}")


@contextlib.contextmanager
def _examined_in_this_process(stage: Stage) -> Iterator[None]:
    """Lets this process, which has limits and may crash, stand in for the tool's own child."""
    real = quarantine.examine

    def examine(
        path: Path, size: Sequence[float] | None = None, otherwise: Sequence[float] | None = None
    ) -> quarantine.Examination:
        with stage:
            try:
                return quarantine.examine_here(path, size, otherwise)
            except Exception as error:  # as `quarantine.serve` answers it
                refused = quarantine.refusal(path, error)
                if isinstance(refused, ExaminationBugError):
                    raise  # contained there, a finding here
                refused.examining = True  # type: ignore[attr-defined]
                raise refused from error

    quarantine.examine = examine
    try:
        yield
    finally:
        quarantine.examine = real


def _masked_logits(
    model: onnx.ModelProto,
    layer: str,
    axis: int,
    channels: Sequence[int],
    feeds: dict[str, np.ndarray],
) -> list[np.ndarray]:
    """The outputs with channels of a tensor put to zero, for every reader of it."""
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    # What the file declares of tensors inside may be wrong, and is not needed.
    del probe.graph.value_info[:]
    del probe.graph.output[:]
    probe.graph.output.add().name = layer
    (features,) = _session(probe).run(None, feeds)
    shape = [1] * features.ndim
    shape[axis] = features.shape[axis]
    pruned = np.zeros(features.shape[axis], np.bool_)
    pruned[list(channels)] = True
    zero = np.array(_zero_point(model, layer), features.dtype)
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    masked, mask, zeros = (f"the independent mask{part}" for part in ("'s output", "", "'s zero"))
    nodes = list(changed.graph.node)
    for position, node in enumerate(nodes):
        for index, name in enumerate(node.input):
            if name == layer:
                nodes[position].input[index] = masked
    place = next(i for i, node in enumerate(nodes) if layer in node.output) + 1
    nodes.insert(place, onnx.helper.make_node("Where", [mask, zeros, layer], [masked]))
    del changed.graph.node[:]
    changed.graph.node.extend(nodes)
    for values, name in ((pruned.reshape(shape), mask), (zero, zeros)):
        changed.graph.initializer.append(onnx.numpy_helper.from_array(values, name))
    return _session(changed).run(None, feeds)


def _zero_point(model: onnx.ModelProto, tensor: str) -> int:
    """The integer that stands for zero in a quantised tensor; 0 in any other."""
    makers = {name: node for node in model.graph.node for name in node.output}
    weights = {weight.name: weight for weight in model.graph.initializer}
    while tensor in makers:
        node = makers[tensor]
        place = {"QuantizeLinear": 2, "QLinearConv": 7}.get(node.op_type)
        if place is not None:
            return int(onnx.numpy_helper.to_array(weights[node.input[place]]).item())
        tensor = node.input[0] if node.input else ""
    return 0


def _session(model: onnx.ModelProto) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    return ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def _free_inputs(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    weights = {tensor.name for tensor in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in weights]


def _noise(model: onnx.ModelProto, size: tuple[int, int] | None) -> dict[str, np.ndarray]:
    """Images of the size that the graph fixes, else of a small one that the metadata asks for."""
    (image,) = _free_inputs(model)
    small = size is not None and max(size) <= _LARGEST_SIDE
    height, width = size if size is not None and small else (_FREE_SIDE, _FREE_SIDE)
    dims = [dim.dim_value for dim in image.type.tensor_type.shape.dim]
    free = [3, 3, height, width] if dims[1] in (1, 3) else [3, height, width, 3]
    shape = [given if given > 0 else wanted for given, wanted in zip(dims, free, strict=True)]
    values = np.random.default_rng(7).normal(size=shape)
    return {image.name: values.astype(np.float32)}
