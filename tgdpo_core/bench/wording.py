"""What a bench says about its rows and its method, in sentences."""

from collections.abc import Mapping, Sequence
from typing import Any

from tgdpo_core.bench.results import BenchResults

_CHANGES = {
    "responses_cut": "responses were cut at max_length",
    "first_errors_cut": "first errors lie behind the cut; these responses count in no first-error "
    "accuracy",
    "line_break_behind_prompt": "prompts got a line break behind them, as they end without space",
}


def data_sentences(data: Mapping[str, Any]) -> list[str]:
    """Return what the numbers were measured on."""
    limit = f" (the first {data['limit']})" if data["limit"] else ""
    kinds = "steps" if data["has_steps"] else "tokens, which stand for steps"
    sentences = [
        f"{data['path']}: {data['used_rows']} of {data['rows']} rows{limit}, "
        f"{data['problems_of_data']} problems, {data['responses']} responses: "
        f"{data['with_error']} with a marked error, {data['without_error']} marked as free of one"
        + (
            f", {data['assumed_right']} preferred ones taken as free of errors."
            if data["assumed_right"]
            else "."
        ),
        f"{data['error_tokens']} error tokens and {data['right_tokens']} right ones; "
        f"{data['steps']} {kinds}.",
    ]
    for name, count in data["counts"].items():
        if count:
            sentences.append(f"{count} {_CHANGES.get(name, name)}.")
    if data["left_out"]:
        sentences.append(f"{data['left_out']} rows were left out: {'; '.join(data['problems'])}")
    return sentences


def method_sentences(results: BenchResults) -> list[str]:
    """Return how the numbers were made."""
    settings = results.data["settings"]
    dynamic = [reward.label for reward in results.rewards if reward.is_dynamic]
    sentences = [
        f"Intervals: 95 %, percentiles of {settings['num_resamples']} bootstrap resamples of "
        "problems, not rows; the same resamples for every line.",
        "AUC: the chance that an error has a lower reward than what is right; 0.5 is chance. Over "
        "what somebody judged: what is behind a first error, where that alone was marked, is left "
        "out, and so are responses that are only taken as right. Within responses: the mean of the "
        "AUCs inside each response, as token weights compare. Where a first error alone is marked "
        "it is the last step that was judged, so position looks good; at the same step: errors "
        "against right steps of the same number in other responses. There, that errors are late is "
        "worth nothing, but how long a response is still tells: short ones err early.",
        f"The value of a step is the {settings['step_value']} of its tokens.",
        "First error (ProcessBench): the first step below a threshold; F1 is the harmonic mean of "
        "the accuracies with and without an error. The threshold is the best one on the other "
        f"folds of {settings['num_folds']}; responses taken as right count as without an error.",
        "Calibration: the chance of an error by isotonic regression of steps on the other folds; "
        "ECE over 10 bins; Brier skill 0 knows no more than how frequent errors are.",
        "Controls: permute shuffles the values inside a response; sequence-mean and class-mean "
        "give all tokens of a response, or of a side, their mean; position is minus the relative "
        "position; random is noise.",
        "Correlation with length: Spearman's, of a response's mean reward and its tokens.",
    ]
    if dynamic:
        sentences.append(
            f"{', '.join(dynamic)}: follows the policy in training; here it was scored at the "
            "reference."
        )
    return sentences


def reward_sentences(results: BenchResults) -> list[str]:
    """Return what each reward is, with its key."""
    return [
        f"{reward.label}: {reward.described['name']} ({reward.described['origin']}), "
        f"{_options(reward.described['options'])}"
        + "".join(f" | {_transform(item)}" for item in reward.described["transforms"])
        + f"; key {reward.key}"
        for reward in results.rewards
        if reward.described
    ]


def _options(options: Mapping[str, Any]) -> str:
    given = [f"{key}={value!r}" for key, value in options.items() if value is not None]
    return ", ".join(given) or "no options"


def _transform(item: Mapping[str, Any]) -> str:
    options = {key: value for key, value in item.items() if key != "name"}
    return f"{item['name']}({_options(options)})" if options else str(item["name"])


def setup_sentences(data: Mapping[str, Any]) -> Sequence[str]:
    """Return which models and limits were used."""
    return [
        f"Policy: {data['model'] or 'that of the data set'}; reference: "
        f"{data['reference'] or 'the policy'}; {data['dtype']}; max_length "
        f"{data['settings']['max_length']}; beta {data['beta']:g}; data key {data['key']}."
    ]
