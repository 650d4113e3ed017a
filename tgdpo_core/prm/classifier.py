"""A token classifier on the weights of a causal language model, and its loss.

It is an ordinary token-classification checkpoint. Of its two labels, 1 is the good one, as in the
process reward models of the field, so that ``dense-prm`` reads it as it is.

Legend: S rows, T tokens, N tokens with a label, L labels.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tgdpo_core.errors import UsageError
from tgdpo_core.prm.fitting import IGNORED

if TYPE_CHECKING:
    import torch

GOOD = 1


def make_classifier(base_model: Any, names: Mapping[int, str], *, seed: int) -> Any:
    """Return a token classifier with the weights of a causal model and a new head.

    Args:
        base_model: whose weights it gets.
        names: of the labels 0 and 1.
        seed: of the head.

    Raises:
        UsageError: transformers has no token classifier of this architecture.
    """
    import torch
    from transformers import AutoModelForTokenClassification

    config = type(base_model.config).from_dict(
        base_model.config.to_dict(),
        id2label=dict(names),
        label2id={name: index for index, name in names.items()},
    )
    config.classifier_dropout = 0.0
    # The caller's random state stays as it is.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            model = AutoModelForTokenClassification.from_config(config)
        except ValueError as error:
            raise UsageError(
                f"{type(base_model).__name__} has no token classifier in transformers: {error}"
            ) from error
    model.base_model.load_state_dict(base_model.base_model.state_dict())
    return model


def soft_cross_entropy(logits_STL: "torch.Tensor", labels_ST: "torch.Tensor") -> "torch.Tensor":
    """Return the mean of ``-y log p_1 - (1 - y) log p_0`` over the tokens with a label y.

    Its minimum is the expected label, so that a share of K trials teaches what K labels of 0 or 1
    would, without the noise of drawing among them.
    """
    is_labelled_ST = labels_ST != IGNORED
    logps_NL = logits_STL[is_labelled_ST].log_softmax(-1)
    good_N = labels_ST[is_labelled_ST]
    return -(good_N * logps_NL[:, 1] + (1 - good_N) * logps_NL[:, 0]).mean()
