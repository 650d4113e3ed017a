"""The picture of the concept page is what its script makes, with the numbers of the loss."""

from xml.etree import ElementTree

import pytest
import torch

from tgdpo_core.engine.losses import preference_loss
from tgdpo_plugins.shapings.linear import Linear

pytestmark = pytest.mark.checkout


def test_the_picture_is_what_its_script_makes() -> None:
    from picture import NARROW, TARGET, narrow_picture, picture

    assert TARGET.read_text(encoding="utf-8") == picture()
    assert NARROW.read_text(encoding="utf-8") == narrow_picture()


@pytest.mark.parametrize("is_weighted", [False, True])
def test_its_margins_and_losses_are_those_of_training(is_weighted: bool) -> None:
    from picture import ALPHA, BETA, CHOSEN, REJECTED, loss, narrow_picture, picture

    shaping = Linear(alpha=ALPHA)
    rewards = [torch.tensor(side.rewards) for side in (CHOSEN, REJECTED)]
    weights = torch.cat([shaping.f_w(rewards[0]), shaping.f_l(rewards[1])])
    logratios = torch.tensor([*CHOSEN.logratios, *REJECTED.logratios])
    is_chosen = torch.arange(len(logratios)) < len(CHOSEN.tokens)
    computed = preference_loss(
        logratios,
        torch.zeros_like(logratios),
        weights if is_weighted else torch.ones_like(weights),
        torch.zeros(len(logratios), dtype=torch.int64),
        is_chosen,
        num_pairs=1,
        beta=BETA,
    )
    margin = float(computed.margins[0])
    assert float(computed.losses[0]) == pytest.approx(loss(margin), abs=1e-6)
    assert f"rejected = {margin:+.3f}" in picture()
    assert f"(margin) = {loss(margin):.3f}" in picture()
    assert f"margin {margin:+.3f}, " in narrow_picture()
    assert f"(margin) = {loss(margin):.3f}" in narrow_picture()


@pytest.mark.parametrize("name", ["picture", "narrow_picture"])
def test_no_text_leaves_the_picture(name: str) -> None:
    """Of text at its widest: a digit or letter is at most 0.62 of its size wide."""
    import picture

    svg = ElementTree.fromstring(getattr(picture, name)())
    width = float(svg.get("viewBox", "").split()[2])
    for text in svg.iter("{http://www.w3.org/2000/svg}text"):
        x, long = float(text.get("x", "")), 0.62 * float(text.get("font-size", ""))
        reach = len(text.text or "") * long
        start = x - reach * {"start": 0, "middle": 0.5, "end": 1}[text.get("text-anchor", "")]
        assert start >= 0, text.text
        assert start + reach <= width, text.text
