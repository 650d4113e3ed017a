"""The metric that an ablation is read by."""

from dataclasses import dataclass

from tgdpo_core.experiments.collection import Collection


@dataclass(frozen=True)
class MainMetric:
    """A metric of the evaluations.

    Attributes:
        name: its name in the log.
        label: how tables and plots call it.
        meaning: one sentence for the reader.
        higher_is_better: else lower is.
    """

    name: str
    label: str
    meaning: str
    higher_is_better: bool = True


CANDIDATES = (
    MainMetric(
        "judge/sampled",
        "judge, sampled",
        "mean score that the judge gives to randomly sampled answers to held-out prompts; "
        "higher is better",
    ),
    MainMetric(
        "judge/greedy",
        "judge, greedy",
        "mean score that the judge gives to greedy answers to held-out prompts; higher is better",
    ),
    MainMetric(
        "judge/pairs",
        "judge, pairs",
        "mean score that the judge gives to the policy's likelihoods of held-out pairs (nothing "
        "was generated); higher is better",
    ),
    MainMetric(
        "eval_rewards/accuracies",
        "preference accuracy",
        "share of held-out pairs whose chosen response has the higher unweighted reward "
        "(nothing was generated or judged); higher is better",
    ),
    MainMetric(
        "eval_loss",
        "evaluation loss",
        "loss on held-out pairs; lower is better, but losses of different weights, betas or "
        "loss functions cannot be compared",
        higher_is_better=False,
    ),
)


def main_metric(collection: Collection) -> MainMetric | None:
    """Return the first candidate that every finished run logged; None if there is none."""
    finished = {(cell, seed) for cell, seeds in collection.finished.items() for seed in seeds}
    for metric in CANDIDATES:
        if metric.name not in collection.evaluations.columns:
            continue
        rows = collection.evaluations.dropna(subset=[metric.name])
        if finished <= set(zip(rows["cell"], rows["seed"], strict=True)):
            return metric
    return None
