"""Weights from a checkpoint into a network, without running code that the file may hold."""

import hashlib
import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from hardener.errors import ModelError
from hardener.files import read_regular, reason

_LARGEST_BYTES = 4 << 30
_NESTED_KEYS = ("state_dict", "model_state_dict", "model")


def load_weights(network: nn.Module, checkpoint: Path) -> str:
    """Loads a state dictionary, `.safetensors` or `.pt`, into a network.

    Returns:
        The checkpoint's SHA-256 digest, of the bytes that were used.

    Raises:
        ModelError: the checkpoint is missing, holds more than weights, is damaged, or does not fit
            the network.
    """
    try:
        content = read_regular(checkpoint, _LARGEST_BYTES)
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{checkpoint} cannot be read ({reason(error)}): name a .safetensors or .pt checkpoint"
        ) from error
    state = _state_dictionary(checkpoint, content)
    weights = {str(name).removeprefix("module."): value for name, value in state.items()}
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines()]
        raise ModelError(
            f"{checkpoint} does not fit the architecture: {' '.join(lines[1:2])[:300]}"
        ) from error
    return hashlib.sha256(content).hexdigest()


def _state_dictionary(checkpoint: Path, content: bytes) -> Mapping[Any, Tensor]:
    try:
        if checkpoint.suffix == ".safetensors":
            state: Any = safetensors.torch.load(content)
        else:
            state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"{checkpoint} holds more than weights (or is damaged) and is not opened: save the "
            "state_dict alone, best as .safetensors"
        ) from error
    except Exception as error:  # damaged pickles make torch raise anything
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise ModelError(f"{checkpoint} is no checkpoint: {lines[0][:300]}") from error
    if isinstance(state, Mapping):
        state = next((state[k] for k in _NESTED_KEYS if isinstance(state.get(k), Mapping)), state)
    if not isinstance(state, Mapping) or not all(isinstance(v, Tensor) for v in state.values()):
        raise ModelError(f"{checkpoint} holds no state dictionary of tensors")
    return state
