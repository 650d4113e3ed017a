"""Which attention implementation a model of transformers uses, and switching it."""

import contextlib
import copy
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def use(model: Any, name: str) -> Iterator[None]:
    """Use another attention implementation for a while."""
    before = implementation(model)
    model.set_attn_implementation(name)
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def implementation(model: Any) -> str:
    """Return the name of the attention implementation that a model uses."""
    name: str = model.config._attn_implementation
    return name


def plain_implementation(model: Any) -> str:
    """Return the implementation that a model was loaded with, noted on the model the first time.

    A row leaves the model on the engine's own (see ``TokenLogps``): a later engine could not tell.
    """
    noted: str | None = vars(model).get("tgdpo_plain_attention")
    if noted is None:
        own_config(model)
        noted = model.tgdpo_plain_attention = implementation(model)
    return noted


def own_config(model: Any) -> None:
    """Give a model a config that no other model has.

    The name of the implementation is kept in the config, so two models built from one config object
    would switch each other.
    """
    copies: dict[int, Any] = {}
    copy.deepcopy(model.config, copies)
    for module in model.modules():
        mine = copies.get(id(vars(module).get("config")))
        if mine is not None:
            module.config = mine
