"""Signs that an experiment will not show what it is meant to: sentences with their numbers.

They are information, not errors: each has a use (a control, an ablation), but nobody should meet
one unawares after training.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tgdpo_core.reports.error_detection import ErrorDetection
from tgdpo_core.reports.reward_statistics import RewardStatistics, WeightStatistics
from tgdpo_core.scoring.rounding import Rounding

NEGLIGIBLE_STD = 0.02  # of f on both sides: below it, runs could not be told from DPO
MANY_NEGATIVE = 0.01  # share of negative weights
IMBALANCE = 0.01  # by how much mean f_w may stay below mean f_l: less is noise
UNEVEN_MIXTURE = 2.0  # ratio of the RMS of two sources that are summed
OUTLIER = 50.0  # max |r| in units of its RMS
RMS_RANGE = (1e-4, 10.0)
ROUNDED = 0.2  # by how much of its RMS rounding may move a reward
WRONG_WAY = 0.45  # AUC of finding known errors by low rewards: clearly below chance


@dataclass(frozen=True)
class FailureSign:
    """One finding: a name that scripts can look for, and a sentence."""

    code: str
    message: str


def failure_signs(
    rewards: Sequence[RewardStatistics],
    chosen: WeightStatistics,
    rejected: WeightStatistics,
    errors: ErrorDetection | None = None,
) -> list[FailureSign]:
    """Return what speaks against the weights and against each token reward.

    Args:
        rewards: of every source; of their sum, too, where there are several.
        chosen: statistics of f_w.
        rejected: statistics of f_l.
        errors: how well low rewards mark known errors, where some are known.
    """
    signs = [*_variance(chosen, rejected), *_negative(chosen, rejected)]
    if chosen.mean < (1 - IMBALANCE) * rejected.mean:
        signs.append(
            FailureSign(
                "displacement",
                f"mean f_w {chosen.mean:.4g} is below mean f_l {rejected.mean:.4g}: pushing down "
                "the rejected outweighs pulling up the chosen, which accelerates displacement "
                "(the log-probs of the chosen fall, too).",
            )
        )
    signs += _mixture(rewards)
    for reward in rewards:
        signs += [*_reward_scale(reward), *rounding_signs(reward.name, reward.rounding)]
    return signs + (_wrong_way(errors) if errors else [])


def _wrong_way(errors: ErrorDetection) -> list[FailureSign]:
    found = {"chosen": errors.chosen, "rejected": errors.rejected}
    low = {side: auc for side, auc in found.items() if auc is not None and auc < WRONG_WAY}
    if not low:
        return []
    listed = ", ".join(f"{auc:.2f} on {side}" for side, auc in low.items())
    return [
        FailureSign(
            "wrong-way",
            f"tokens that are known errors have the higher rewards (AUC of finding them by a low "
            f"reward: {listed}; chance is 0.5). Turn the reward around with the transform scale, "
            "factor -1, or look at the tokens (tgdpo inspect).",
        )
    ]


def _mixture(rewards: Sequence[RewardStatistics]) -> list[FailureSign]:
    """Return a sign if one source of several drowns another; the last of ``rewards`` is the sum."""
    sources = [reward for reward in rewards[:-1] if reward.rms]
    if len(sources) < 2:
        return []
    largest = max(sources, key=lambda reward: reward.rms)
    smallest = min(sources, key=lambda reward: reward.rms)
    if largest.rms <= UNEVEN_MIXTURE * smallest.rms:
        return []
    listed = ", ".join(f"{reward.name} {reward.rms:.3g}" for reward in sources)
    return [
        FailureSign(
            "uneven-mixture",
            f"the sources of the mixture have different scales (RMS, weights included: {listed}): "
            f"{largest.name} counts {largest.rms / smallest.rms:.1f} times as much as "
            f"{smallest.name}. Give each the transform rms and say with its weight how much it "
            "should count.",
        )
    ]


def _variance(chosen: WeightStatistics, rejected: WeightStatistics) -> list[FailureSign]:
    """Return at most one sign: constant weights, one side only, or hardly any variance."""
    if chosen.is_constant and rejected.is_constant:
        return [FailureSign("no-variance", _constant_weights(chosen.mean, rejected.mean))]
    for name, side, other in (("chosen", chosen, rejected), ("rejected", rejected, chosen)):
        if side.is_constant:
            opposite = "rejected" if name == "chosen" else "chosen"
            return [
                FailureSign(
                    "one-side",
                    f"one side only: every weight of the {name} responses is {side.mean:.4g}, "
                    f"those of the {opposite} vary (sd {other.std:.3g}).",
                )
            ]
    if max(chosen.std, rejected.std) < NEGLIGIBLE_STD:
        return [
            FailureSign(
                "negligible",
                f"the guidance is negligible: sd of f is {chosen.std:.2g} on chosen and "
                f"{rejected.std:.2g} on rejected tokens, below {NEGLIGIBLE_STD}. (With the "
                "official alpha 0.5 and beta 0.1, 1 nat of log-ratio moves a weight by 5 %.) "
                "Raise alpha, or scale the reward with the transform rms.",
            )
        ]
    return []


def _constant_weights(chosen: float, rejected: float) -> str:
    if chosen == rejected == 1:
        return "no variance: every weight is 1, this is plain DPO."
    if chosen == rejected:
        return (
            "no variance: this is DPO with another beta: the weights are constant "
            f"({chosen:.4g}, so beta is multiplied by it)."
        )
    return (
        "no variance: this is DPO with another beta: the weights are constant "
        f"({chosen:.4g} on chosen, {rejected:.4g} on rejected tokens)."
    )


def _negative(chosen: WeightStatistics, rejected: WeightStatistics) -> list[FailureSign]:
    if max(chosen.negative_fraction, rejected.negative_fraction) <= MANY_NEGATIVE:
        return []
    return [
        FailureSign(
            "sign-flips",
            f"sign flips: {chosen.negative_fraction:.1%} of the weights are negative on chosen and "
            f"{rejected.negative_fraction:.1%} on rejected tokens, where training then pushes the "
            f"other way (smallest {min(chosen.min, rejected.min):.3g}). Lower alpha or clip the "
            "reward, unless the reward is meant to do this.",
        )
    ]


def _reward_scale(reward: RewardStatistics) -> list[FailureSign]:
    signs = []
    low, high = RMS_RANGE
    if reward.rms and not low <= reward.rms <= high:
        signs.append(
            FailureSign(
                "reward-scale",
                f"{reward.name}: the RMS of the token reward is {reward.rms:.3g}, outside "
                f"[{low:g}, {high:g}]. Bring it to a known scale with the transform rms.",
            )
        )
    if reward.max_abs > OUTLIER * reward.rms:
        signs.append(
            FailureSign(
                "outliers",
                f"{reward.name}: the largest |reward| is {reward.max_abs:.3g}, "
                f"{reward.max_abs / reward.rms:.0f} times its RMS of {reward.rms:.3g}: a few "
                "tokens decide. Look at them (tgdpo inspect), or use the transform clip.",
            )
        )
    return signs


def rounding_signs(name: str, rounding: Rounding | None) -> list[FailureSign]:
    """Return a sign if much of a reward is the rounding of its models' number format."""
    if rounding is None or rounding.share <= ROUNDED:
        return []
    return [
        FailureSign(
            "rounding",
            f"{name}: its models compute in {rounding.dtype}, whose rounding moves its values by "
            f"{100 * rounding.share:.0f} % of their size (RMS {rounding.moved:.2g} of "
            f"{rounding.rms:.2g} before transforms, the same tokens read in other company): so "
            "much of it is noise. Compute it in float32 (a run: "
            "model.dtype=float32 and training.bf16=false; a bench: --dtype float32), or use models "
            "that differ more.",
        )
    ]
