"""A model from a stranger is opened by a child process first.

onnx and onnxruntime are native code that a crafted file may crash, hang or fill the memory with.
So that this ends as one line of text, a child process with limits on memory and time reads the
file, checks it and runs it once; the parent then reads the same bytes. It is no sandbox: code
that takes over the child can do what its user can.
"""

import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort

import hardener.errors
from hardener.arrays import AnyArray
from hardener.data.preprocessing import LARGEST_SIDE
from hardener.errors import ExaminationBugError, HardenError, ModelError, one_line
from hardener.model.batch_independence import require_batch_independence
from hardener.model.bfloat16 import in_float32
from hardener.model.chosen_outputs import with_outputs
from hardener.model.files import OnnxModel, external_files, load_model
from hardener.model.fixed_sizes import require_fixed_sizes
from hardener.model.observing import observed_shapes
from hardener.model.runtime import Machine, Runner, open_runner
from hardener.model.sessions import open_session
from hardener.model.signature import EXAMPLE_SIZE, Signature, read_signature

_BASE_BYTES = 4 << 30
_BYTES_PER_MODEL_BYTE = 10
_BASE_SECONDS = 18
_SECONDS_OF_WAITING = 8
_MODEL_BYTES_PER_SECOND = 8 << 20
_LONGEST_SECONDS = 900
_LARGEST_TENSOR = 1 << 28
_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from hardener.model.quarantine import serve; serve(sys.argv[2])"
)
_COMPANY_TOLERANCE = 0.1
"""Of the scores' range; what dynamic quantisation and rounding of integers leave."""
_OUT_OF_TIME = frozenset({"SIGXCPU", "SIGALRM"})


@dataclass(frozen=True)
class Examination:
    """What the child saw.

    Attributes:
        sha256: digest of the model with its external data, as `OnnxModel` has it.
        shapes: tensor name to shape, on 2 images or the fixed batch (`observed_shapes`).
    """

    sha256: str
    shapes: dict[str, tuple[int, ...]]


def load_untrusted(
    path: Path, size: Sequence[float] | None = None, otherwise: Sequence[float] | None = None
) -> OnnxModel:
    """Reads a model that a child process has read, checked and run before, with its shapes.

    Args:
        path: an ONNX file.
        size: height and width (or one number for both) to run it on, where the graph leaves
            them open; by default the metadata's.
        otherwise: the same, where the metadata say nothing either.

    Raises:
        ModelError: the model is refused, crashes or exceeds a limit, or the file changed
            meanwhile.
    """
    examination = examine(path, size, otherwise)
    model = load_model(path)
    if model.sha256 != examination.sha256:
        raise ModelError(f"{path} changed while it was read: run again when nothing writes it")
    return replace(model, shapes=examination.shapes)


def examine(
    path: Path, size: Sequence[float] | None = None, otherwise: Sequence[float] | None = None
) -> Examination:
    """Reads, checks and runs a model once, in a child process with limits.

    Memory is limited to 4 GiB and ten times the model's bytes, processor time to 18 seconds and
    one more for every 8 MiB, the clock to 8 seconds more; the child writes no file and leaves no
    core dump. (Windows enforces only a timeout, macOS no limit on memory.)

    Args:
        path: an ONNX file.
        size: height and width (or one number for both) to run it on, where the graph leaves
            them open; by default the metadata's.
        otherwise: the same, where the metadata say nothing either.

    Raises:
        ModelError: the model is refused, or crashes onnx or onnxruntime, or exceeds a limit.
    """
    request = json.dumps({"path": str(path), "size": size, "otherwise": otherwise})
    command = [sys.executable, "-I", "-B", "-c", _START, json.dumps(sys.path), request]
    try:
        done = subprocess.run(  # noqa: S603  our own interpreter and our own code, no shell
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_LONGEST_SECONDS,
            env={**os.environ, "MALLOC_ARENA_MAX": "2", "OMP_NUM_THREADS": "1"},
            check=False,
        )
    except OSError as error:
        raise ModelError(f"{path}: no process can be started to open it: {error}") from error
    except subprocess.TimeoutExpired as error:
        raise ModelError(f"{path}: reading and running the model once took too long") from error
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        if name in _OUT_OF_TIME:
            raise ModelError(f"{path}: reading and running the model once took too long")
        raise ModelError(f"{path} crashed onnx or onnxruntime ({name}): the model is not opened")
    return _understood(path, done.returncode, done.stdout)


def examine_here(
    path: Path, size: Sequence[float] | None = None, otherwise: Sequence[float] | None = None
) -> Examination:
    """As `examine`, but in this process and without limits."""
    model = load_model(path)
    signature = read_signature(model.proto)
    require_fixed_sizes(model.proto)
    wanted = signature.size or size or model.preprocessing_fields.get("size") or otherwise
    images = _images(model, signature, wanted or EXAMPLE_SIZE)
    wide = in_float32(model.proto)
    if wide is not model.proto:
        _require_types(model.proto)
    try:
        shapes = observed_shapes(wide, {signature.input: images})
    except ModelError as error:
        if wanted:
            raise
        height, width = EXAMPLE_SIZE
        raise ModelError(
            f"{path} does not run on {height}×{width} pixels, and nothing says what size it takes: "
            f"give --size ({error})"
        ) from error
    if signature.batch is None:
        alone = observed_shapes(wide, {signature.input: images[:1]})
        require_batch_independence(wide, alone, shapes)
    weights = {tensor.name for tensor in model.proto.graph.initializer}
    _require_bounded({k: v for k, v in shapes.items() if k not in weights}, len(images))
    # Once more as the commands run it, whose optimisations are native code too.
    runner = open_runner(
        with_outputs(model.proto, signature.output), Machine(threads=1), signature.batch
    )
    _require_alike(runner, signature, images)
    return Examination(model.sha256, shapes)


def _require_types(proto: onnx.ModelProto) -> None:
    """Lets onnxruntime check a bfloat16 model's types, which are no longer seen in float32.

    It looks at types first and then finds that it has no kernels.
    """
    options = ort.SessionOptions()
    options.log_severity_level = 4
    try:
        open_session(proto, options, ["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions share no base class
        if type(error).__name__ != "NotImplemented":
            raise ModelError(f"onnxruntime refuses the model: {one_line(error)}") from error


def _require_alike(runner: Runner, signature: Signature, images: AnyArray) -> None:
    """Runs images together and one of them alone, and compares.

    Where the batch is fixed, alone is in no other company than its own.
    """
    (together,) = runner.run({signature.input: images})
    (alone,) = runner.run({signature.input: np.repeat(images[:1], signature.batch or 1, axis=0)})
    difference = np.abs(together[:1].astype(np.float32) - alone[:1].astype(np.float32)).max(
        initial=0
    )
    if difference > _COMPANY_TOLERANCE * max(1e-3, float(np.ptp(together))):
        raise ModelError(
            "the model says something else of an image alone than of the same image among others: "
            "it cannot be measured in batches, export it so that images do not mix"
        )


def serve(request: str) -> None:
    """What the child does: prints one JSON document, an examination or an error."""
    asked = json.loads(request)
    path = Path(asked["path"])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # native code may print
    answer: dict[str, Any]
    try:
        _limit_to(path.stat().st_size if path.is_file() else 0)
        _limit_to(sum(file.stat().st_size for file in (path, *external_files(path))))
        answer = asdict(examine_here(path, asked["size"], asked["otherwise"]))
    except Exception as error:  # our own bugs too, which the parent contains and names as such
        refused = refusal(path, error)
        answer = {"error": type(refused).__name__, "message": str(refused)}
    with answers:
        answers.write("\n" + json.dumps(answer))
    os._exit(0)  # what is left of the model need not be taken apart


def refusal(path: Path, error: Exception) -> HardenError:
    """What an examination that raised says of the model.

    Only a refusal of ours, too little memory or the file system is no bug. Whatever else is raised,
    be it by a library that a damaged model confuses, should have been foreseen.
    """
    if isinstance(error, HardenError):
        return error
    said = f"{path}: {type(error).__name__}: {error}"
    if isinstance(error, MemoryError | OSError):
        return ModelError(said)
    return ExaminationBugError(
        f"{said}; that is a bug in harden, the model is not opened: please report it with the model"
    )


def _understood(path: Path, code: int, answer: bytes) -> Examination:
    try:
        document = json.loads(answer.splitlines()[-1])
        if "error" in document:
            kind = getattr(hardener.errors, document["error"])
            raise kind(document["message"])
        shapes = {str(name): tuple(map(int, dims)) for name, dims in document["shapes"].items()}
        return Examination(str(document["sha256"]), shapes)
    except (LookupError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ModelError(
            f"{path}: the process that opened the model left with code {code} and no answer"
        ) from error


def _limit_to(model_bytes: int) -> None:
    """Sets this process's limits for a model with weights of that size."""
    if sys.platform == "win32":
        return
    import resource  # noqa: PLC0415  POSIX only

    seconds = _BASE_SECONDS + model_bytes // _MODEL_BYTES_PER_SECOND
    limits = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CPU: seconds,
        resource.RLIMIT_AS: _BASE_BYTES + _BYTES_PER_MODEL_BYTE * model_bytes,
    }
    for kind, value in limits.items():
        with suppress(ValueError, OSError):  # a stricter limit is set from outside, or none kept
            resource.setrlimit(kind, (value, resource.getrlimit(kind)[1]))
    signal.setitimer(signal.ITIMER_REAL, seconds + _SECONDS_OF_WAITING)


def _images(model: OnnxModel, signature: Signature, wanted: Sequence[float]) -> AnyArray:
    if not all(1 <= side <= LARGEST_SIDE for side in wanted):
        said = "×".join(f"{side:g}" for side in wanted)
        raise ModelError(
            f"images of {said} pixels: at most {LARGEST_SIDE}×{LARGEST_SIDE} are supported"
        )
    return signature.example((int(wanted[0]), int(wanted[-1])))


def _require_bounded(shapes: dict[str, tuple[int, ...]], images: int) -> None:
    """What 2 images need says what a batch will need: sizes do not depend on pixel values."""
    name, values = max(
        ((name, math.prod(shape)) for name, shape in shapes.items()), key=lambda item: item[1]
    )
    if values > _LARGEST_TENSOR:
        raise ModelError(
            f"tensor {name!r} holds {values} values for {images} images: at most "
            f"{_LARGEST_TENSOR} are supported"
        )
