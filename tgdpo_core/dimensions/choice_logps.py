"""Log-probabilities of given answers, each after its question."""

from collections.abc import Sequence
from typing import Any

import torch

from tgdpo_core.errors import DataError
from tgdpo_core.progress import stage


@torch.no_grad()
def choice_logps(
    model: Any, tokenizer: Any, asked: Sequence[tuple[str, str]], *, batch_size: int, label: str
) -> list[float]:
    """Return log pi(answer | question), nats, the sum over the answer's tokens; no EOS is added.

    Question and answer are tokenized as one text; what is longer than the question's own ids is the
    answer, as lm-evaluation-harness splits them.

    Args:
        model: a causal language model on its device.
        tokenizer: its tokenizer.
        asked: question and answer.
        batch_size: texts of one forward.
        label: what the progress bar says.

    Raises:
        DataError: a text is longer than the model's positions, or an answer adds no token.
    """
    model.eval()
    most = getattr(model.config, "max_position_embeddings", None)
    rows = [_ids(tokenizer, question, answer, most) for question, answer in asked]
    order = sorted(range(len(rows)), key=lambda i: -len(rows[i][0]))
    found = [0.0] * len(rows)
    with stage(label, len(rows), "answer") as bar:
        for start in range(0, len(order), batch_size):
            some = order[start : start + batch_size]
            for number, value in zip(some, _sums(model, [rows[i] for i in some]), strict=True):
                found[number] = value
            bar.update(len(some))
    return found


def _ids(tokenizer: Any, question: str, answer: str, most: int | None) -> tuple[list[int], int]:
    """Return the ids of both, and how many of them are the question's."""
    num_question = len(tokenizer(question)["input_ids"])
    ids = tokenizer(question + answer)["input_ids"]
    # A tokenizer may add nothing in front: the first token of a text is predicted by none.
    num_question = max(1, num_question)
    if most and len(ids) > most:
        raise DataError(
            f"{question[-60:]!r}: {len(ids)} tokens with the answer; the model has {most} "
            "positions."
        )
    if len(ids) <= num_question:
        raise DataError(f"{question[-60:]!r}: the answer {answer!r} adds no token to the question.")
    return ids, num_question


def _sums(model: Any, rows: Sequence[tuple[list[int], int]]) -> list[float]:
    longest = max(len(ids) for ids, _ in rows)
    padded = torch.tensor([ids + [0] * (longest - len(ids)) for ids, _ in rows])
    mask = torch.tensor([[1] * len(ids) + [0] * (longest - len(ids)) for ids, _ in rows])
    device = model.device
    logits = model(input_ids=padded.to(device), attention_mask=mask.to(device)).logits
    sums = []
    for i, (ids, num_question) in enumerate(rows):
        said = torch.tensor(ids[num_question:], device=device)
        logps = logits[i, num_question - 1 : len(ids) - 1].float().log_softmax(-1)
        sums.append(float(logps.gather(1, said[:, None]).double().sum()))
    return sums
