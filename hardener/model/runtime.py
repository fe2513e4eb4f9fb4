"""onnxruntime sessions: which execution provider, how many threads, one call to run."""

import ctypes
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
import onnxruntime as ort

from hardener.arrays import AnyArray
from hardener.cores import available_cores
from hardener.errors import ModelError, ProviderError, UsageError, one_line
from hardener.model.bfloat16 import in_float32
from hardener.model.sessions import open_session

ort.set_default_logger_severity(3)

_MOST_THREADS = 1024
"""More of them onnxruntime starts for minutes, and no machine runs."""

PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
# In order of preference: TensorRT leaves operators it lacks to CUDA, and CUDA to the CPU.
_FALLBACKS: Mapping[str, Sequence[str]] = {
    "cpu": ("cpu",),
    "cuda": ("cuda", "cpu"),
    "tensorrt": ("tensorrt", "cuda", "cpu"),
}


@dataclass(frozen=True)
class Machine:
    """What runs models.

    Attributes:
        provider: the execution provider: cpu, cuda or tensorrt.
        threads: of one operator on the CPU.
        device: index of the GPU, where the provider uses one.
    """

    provider: str = "cpu"
    threads: int = field(default_factory=available_cores)
    device: int = 0


def on_cpu(threads: int | None = None) -> Machine:
    """The CPU with so many threads of one operator, by default one for each core."""
    return Machine("cpu", threads or available_cores())


def choose_machine(asked: str, threads: int | None = None, device: int = 0) -> Machine:
    """Turns `auto`, `cpu`, `cuda` or `tensorrt` into what works here.

    Args:
        asked: the execution provider.
        threads: of one operator on the CPU; by default one for each core.
        device: index of the GPU.

    Raises:
        ProviderError: the provider was named explicitly and cannot run.
        UsageError: threads or device are no such numbers.
    """
    if threads is not None and not 0 < threads <= _MOST_THREADS:
        raise UsageError(f"a model runs on 1 to {_MOST_THREADS} threads, not on {threads}")
    if device < 0:
        raise UsageError(f"devices are counted from 0, not {device}")
    count = threads or available_cores()
    if asked == "auto":
        best = Machine("cuda", count, device)
        if device and not _works(best):
            raise ProviderError(f"device {device} cannot run here: leave it out for the CPU")
        return best if _works(best) else on_cpu(count)
    if asked not in PROVIDERS:
        raise ProviderError(f"no provider {asked!r}: auto, cpu, cuda or tensorrt")
    machine = Machine(asked, count, device)
    if not _works(machine):
        raise ProviderError(
            f"provider {asked} cannot run here: use --provider cpu, or install its driver and "
            "libraries"
        )
    return machine


@dataclass(frozen=True, eq=False)
class Runner:
    """A model ready to run.

    Attributes:
        session: the onnxruntime session.
        machine: what runs it.
        batch: how many images every run takes, None where any number.
    """

    session: ort.InferenceSession
    machine: Machine
    batch: int | None = None

    def run(self, feeds: Mapping[str, AnyArray | ort.OrtValue]) -> list[AnyArray]:
        """Runs one batch and returns every output as a numpy array.

        A model of fixed batch size is given its last image again where there are fewer: what it
        says of those comes last, and the caller leaves it out.

        Args:
            feeds: inputs by name, as arrays or as `placed` gave them.

        Raises:
            ModelError: onnxruntime could not run the model on this input.
        """
        if self.batch is not None:
            feeds = _filled_up(feeds, self.batch)
        try:
            if any(isinstance(value, ort.OrtValue) for value in feeds.values()):
                return self._run_bound(feeds)
            outputs: list[AnyArray] = self.session.run(None, dict(feeds))
        except Exception as error:  # onnxruntime's exceptions share no base class
            raise ModelError(f"onnxruntime stopped: {one_line(error)}") from error
        return outputs

    def placed(self, array: AnyArray) -> AnyArray | ort.OrtValue:
        """An input on the device that runs the model, to be fed often at the cost of one copy."""
        if self.machine.provider == "cpu" or self.batch is not None:
            return array
        return ort.OrtValue.ortvalue_from_numpy(
            np.asarray(array, order="C"), "cuda", self.machine.device
        )

    def _run_bound(self, feeds: Mapping[str, AnyArray | ort.OrtValue]) -> list[AnyArray]:
        """Runs on inputs of which some are on the device already; outputs come to the CPU."""
        binding = self.session.io_binding()
        for name, value in feeds.items():
            if isinstance(value, ort.OrtValue):
                binding.bind_ortvalue_input(name, value)
            else:
                binding.bind_cpu_input(name, np.asarray(value, order="C"))
        for output in self.session.get_outputs():
            binding.bind_output(output.name)
        self.session.run_with_iobinding(binding)
        outputs: list[AnyArray] = binding.copy_outputs_to_cpu()
        return outputs


def _filled_up(feeds: Mapping[str, AnyArray], batch: int) -> dict[str, AnyArray]:
    """Images filled up to a batch. What a trunk gave a head comes of full batches already."""
    filled = dict(feeds)
    name, values = next(iter(feeds.items()))
    if len(feeds) == 1 and len(values) < batch:
        filled[name] = np.concatenate([values, np.repeat(values[-1:], batch - len(values), axis=0)])
    return filled


def open_runner(
    proto: onnx.ModelProto,
    machine: Machine,
    batch: int | None = None,
    *,
    exact: bool = False,
    frugal: bool = False,
) -> Runner:
    """Loads a model into onnxruntime on one execution provider.

    onnxruntime falls back to the CPU without an error; here that is an error. A bfloat16 model
    is run in float32.

    Args:
        proto: the model.
        machine: what runs it.
        batch: how many images every run takes, where the graph fixes that.
        exact: multiplies 8-bit numbers without saturation, which onnxruntime otherwise lets
            happen on processors without VNNI; not every quantised model can be run so.
        frugal: gives memory back after each run, where several sessions are open at once.

    Raises:
        ModelError: onnxruntime refuses the model.
        ProviderError: the provider did not take it.
    """
    proto = in_float32(proto)
    options = ort.SessionOptions()
    options.intra_op_num_threads = machine.threads
    # Idle threads of one session must not take the cores from another that is being timed.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.enable_cpu_mem_arena = not frugal
    if exact:
        options.add_session_config_entry("session.x64quantprecision", "1")
        options.log_severity_level = 4  # the caller tells of a refusal, or goes another way
    if machine.provider == "cpu" and _has_float16(proto):
        # onnxruntime 1.31 crashes on some float16 transformers at its highest level.
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    on_gpu = {"device_id": machine.device}
    providers = [
        (PROVIDERS[name], {} if name == "cpu" else on_gpu) for name in _FALLBACKS[machine.provider]
    ]
    try:
        session = open_session(proto, options, providers)
    except Exception as error:  # onnxruntime's exceptions share no base class
        raise ModelError(f"onnxruntime refuses the model: {one_line(error)}") from error
    if session.get_providers()[0] != PROVIDERS[machine.provider]:
        raise ProviderError(
            f"provider {machine.provider} did not take the model: use --provider cpu"
        )
    return Runner(session, machine, batch)


def _has_float16(proto: onnx.ModelProto) -> bool:
    return any(tensor.data_type == onnx.TensorProto.FLOAT16 for tensor in proto.graph.initializer)


def _works(machine: Machine) -> bool:
    if machine.provider == "cpu":
        return True
    if PROVIDERS[machine.provider] not in ort.get_available_providers() or not _has_driver():
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
        open_runner(tiny, machine).run({"x": np.ones(1, np.float32)})
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
