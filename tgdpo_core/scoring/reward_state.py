"""What online rewards have learnt, on disk: tensors as safetensors, the rest as JSON; no pickle."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

State = Mapping[str, Any]
_PLAIN = (type(None), bool, int, float, str)


def copied(state: Any, where: str = "state_dict") -> Any:
    """Return a copy of a nested state that shares nothing with it, as reading a file would give it.

    Args:
        state: tensors, numbers, text, None, and lists, tuples and dicts of these.
        where: how messages name the place.

    Raises:
        TypeError: it holds something else, or a dict or list that holds itself.
    """
    return _copied(state, where, ())


def _copied(state: Any, where: str, around: tuple[int, ...]) -> Any:
    if id(state) in around:
        raise TypeError(f"{where} is the dict or list that holds it; a state must end somewhere")
    inside = (*around, id(state))
    if isinstance(state, torch.Tensor):
        return state.detach().clone()
    if isinstance(state, Mapping):
        return {
            _key(key, where): _copied(each, f"{where}[{key!r}]", inside)
            for key, each in state.items()
        }
    if isinstance(state, list | tuple):
        items = [_copied(item, f"{where}[{i}]", inside) for i, item in enumerate(state)]
        return items if isinstance(state, list) else tuple(items)
    if type(state) in _PLAIN:
        return state
    raise TypeError(_no_state(state, where))


def packed(state: Any, tensors: dict[str, torch.Tensor], where: str = "state_dict") -> Any:
    """Return a nested state as JSON, its tensors put aside as copies on the CPU.

    Args:
        state: tensors, numbers, text, None, and lists, tuples and dicts of these.
        tensors: gets the tensors.
        where: how messages name the place.

    Raises:
        TypeError: it holds something else.
    """
    if isinstance(state, torch.Tensor):
        name = f"tensor{len(tensors)}"
        tensors[name] = state.detach().to("cpu", copy=True).contiguous()
        return {"tensor": name}
    if isinstance(state, Mapping):
        # As pairs: keys of a dict need not be text (an optimizer's are numbers).
        return {"dict": [_packed_item(k, v, tensors, where) for k, v in state.items()]}
    if isinstance(state, list | tuple):
        items = [packed(item, tensors, f"{where}[{i}]") for i, item in enumerate(state)]
        return {"list" if isinstance(state, list) else "tuple": items}
    if type(state) in _PLAIN:
        return state
    raise TypeError(_no_state(state, where))


def unpacked(document: Any, tensors: Mapping[str, torch.Tensor]) -> Any:
    """Return the state that ``packed`` was given."""
    if not isinstance(document, dict):
        return document
    ((kind, content),) = document.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "dict":
        return {key: unpacked(value, tensors) for key, value in content}
    items = [unpacked(item, tensors) for item in content]
    return items if kind == "list" else tuple(items)


def digest(state: State) -> str:
    """Return a hash of a state; ``TypeError`` as ``packed``."""
    tensors: dict[str, torch.Tensor] = {}
    found = hashlib.blake2b(json.dumps(packed(state, tensors)).encode(), digest_size=16)
    for tensor in tensors.values():
        found.update(f"{tensor.dtype}{list(tensor.shape)}".encode())
        found.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def write_states(folder: Path, rank: int, states: Mapping[str, State]) -> None:
    """Write the states of a process's rewards; ``TypeError`` as ``packed``."""
    tensors: dict[str, torch.Tensor] = {}
    document = {name: packed(state, tensors) for name, state in states.items()}
    save_file(tensors, _file(folder, rank), metadata={"states": json.dumps(document)})


def read_states(folder: Path, rank: int) -> dict[str, State] | None:
    """Return what ``write_states`` wrote for a process; None if it wrote nothing."""
    path = _file(folder, rank)
    if not path.is_file():
        return None
    with safe_open(path, framework="pt") as file:
        document = json.loads(file.metadata()["states"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    return {name: unpacked(state, tensors) for name, state in document.items()}


def _packed_item(key: Any, value: Any, tensors: dict[str, torch.Tensor], where: str) -> Any:
    return [_key(key, where), packed(value, tensors, f"{where}[{key!r}]")]


def _key(key: Any, where: str) -> Any:
    if type(key) not in _PLAIN:
        raise TypeError(f"{where}: a key is a {type(key).__name__}; keys are text or numbers")
    return key


def _no_state(state: Any, where: str) -> str:
    return (
        f"{where} is a {type(state).__name__}; a state is made of tensors, numbers, text, None, "
        "and lists, tuples and dicts of these"
    )


def _file(folder: Path, rank: int) -> Path:
    return folder / f"reward_state-{rank}.safetensors"
