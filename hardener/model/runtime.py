"""onnxruntime sessions: which execution provider, how many threads, one call to run."""

import ctypes
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime as ort

from hardener.arrays import AnyArray
from hardener.cores import available_cores
from hardener.errors import ModelError, ProviderError

ort.set_default_logger_severity(3)

PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}


def choose_provider(asked: str) -> str:
    """Turns `auto`, `cpu`, `cuda` or `tensorrt` into a provider that works here.

    Raises:
        ProviderError: the provider was named explicitly and cannot run.
    """
    if asked == "auto":
        return "cuda" if _works("cuda") else "cpu"
    if asked not in PROVIDERS:
        raise ProviderError(f"no provider {asked!r}: auto, cpu, cuda or tensorrt")
    if not _works(asked):
        raise ProviderError(
            f"provider {asked} cannot run here: use --provider cpu, or install its driver and "
            "libraries"
        )
    return asked


@dataclass(frozen=True, eq=False)
class Runner:
    """A model ready to run.

    Attributes:
        session: the onnxruntime session.
        provider: what runs it: cpu, cuda or tensorrt.
        threads: threads of one operator on the CPU.
    """

    session: ort.InferenceSession
    provider: str
    threads: int

    def run(self, feeds: Mapping[str, AnyArray]) -> list[AnyArray]:
        """Runs one batch and returns every output as a numpy array.

        Raises:
            ModelError: onnxruntime could not run the model on this input.
        """
        try:
            outputs: list[AnyArray] = self.session.run(None, dict(feeds))
        except Exception as error:  # onnxruntime's exceptions share no base class
            raise ModelError(f"onnxruntime stopped: {_one_line(error)}") from error
        return outputs


def open_runner(proto: onnx.ModelProto, provider: str, threads: int | None = None) -> Runner:
    """Loads a model into onnxruntime on one execution provider.

    onnxruntime falls back to the CPU without an error; here that is an error.

    Raises:
        ModelError: onnxruntime refuses the model.
        ProviderError: the provider did not take it.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads or available_cores()
    # Idle threads of one session must not take the cores from another that is being timed.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    names = [PROVIDERS[provider]]
    if provider != "cpu":
        names.append(PROVIDERS["cpu"])
    try:
        session = ort.InferenceSession(proto.SerializeToString(), options, providers=names)
    except Exception as error:  # onnxruntime's exceptions share no base class
        raise ModelError(f"onnxruntime refuses the model: {_one_line(error)}") from error
    if session.get_providers()[0] != PROVIDERS[provider]:
        raise ProviderError(f"provider {provider} did not take the model: use --provider cpu")
    return Runner(session, provider, options.intra_op_num_threads)


def _works(provider: str) -> bool:
    if provider == "cpu":
        return True
    if PROVIDERS[provider] not in ort.get_available_providers() or not _has_driver():
        return False
    ort.preload_dlls()
    value = onnx.helper.make_tensor_value_info
    tiny = onnx.helper.make_model(
        onnx.helper.make_graph(
            [onnx.helper.make_node("Relu", ["x"], ["y"])],
            "probe",
            [value("x", onnx.TensorProto.FLOAT, [1])],
            [value("y", onnx.TensorProto.FLOAT, [1])],
        ),
        opset_imports=[onnx.helper.make_opsetid("", 17)],
        ir_version=10,
    )
    try:
        open_runner(tiny, provider).run({"x": np.ones(1, np.float32)})
    except (ModelError, ProviderError):
        return False
    return True


def _has_driver() -> bool:
    names: Sequence[str] = ("nvcuda.dll",) if sys.platform == "win32" else ("libcuda.so.1",)
    for name in names:
        try:
            ctypes.CDLL(name)
        except OSError:
            continue
        return True
    return False


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:400]
