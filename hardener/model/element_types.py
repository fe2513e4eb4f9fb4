"""Element types of tensors inside a graph."""

from collections.abc import Sequence

import numpy as np
import onnx
import onnxruntime as ort

from hardener.errors import ModelError, one_line
from hardener.model.chosen_outputs import with_outputs
from hardener.model.sessions import open_session
from hardener.model.weightless import weightless

ElementType = np.dtype[np.generic]

_BY_ONNXRUNTIME = {
    "tensor(bool)": np.bool_,
    "tensor(double)": np.float64,
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
    "tensor(int8)": np.int8,
    "tensor(uint8)": np.uint8,
}


def element_types(proto: onnx.ModelProto, names: Sequence[str]) -> dict[str, ElementType]:
    """Tells the types of some tensors, by ONNX's inference or else by onnxruntime's.

    Raises:
        ModelError: neither knows the type of one of them.
    """
    inferred = onnx.shape_inference.infer_shapes(weightless(proto)).graph
    found: dict[str, ElementType] = {}
    for value in (*inferred.input, *inferred.value_info, *inferred.output):
        code = value.type.tensor_type.elem_type
        if value.name in names and code:
            found[value.name] = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(code))
    missing = [name for name in names if name not in found]
    return found | (_asked_of_onnxruntime(proto, missing) if missing else {})


def _asked_of_onnxruntime(proto: onnx.ModelProto, names: Sequence[str]) -> dict[str, ElementType]:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = open_session(with_outputs(proto, *names), options, ["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions share no base class
        raise ModelError(f"onnxruntime refuses the model: {one_line(error)}") from error
    found: dict[str, ElementType] = {}
    for value in session.get_outputs():
        if value.type not in _BY_ONNXRUNTIME:
            raise ModelError(f"tensor {value.name!r} has elements of an unknown type: {value.type}")
        found[value.name] = np.dtype(_BY_ONNXRUNTIME[value.type])
    return found
