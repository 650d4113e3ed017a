"""Addresses of servers are written down, so none that could hold a secret is taken."""

import pytest

from tgdpo_core.server_address import require_plain_address
from tgdpo_plugins.judges.llm import LLMJudge
from tgdpo_plugins.token_rewards.remote.reward import Remote

SECRET = "sk-QUERYSECRET"


def judge(url):
    return LLMJudge(url=url, model="m")


def reward(url):
    return Remote(url=url)


@pytest.mark.parametrize(
    ("make", "variable"), [(judge, "TGDPO_JUDGE_KEY"), (reward, "TGDPO_REMOTE_KEY")]
)
@pytest.mark.parametrize(
    ("url", "what"),
    [
        (f"http://h/v1?key={SECRET}", "a query"),
        (f"http://h?{SECRET}", "a query"),
        (f"http://h/v1#{SECRET}", "a fragment"),
        (f"http://me:{SECRET}@h/v1", "a user name or password"),
        (f"http://{SECRET}@h/v1", "a user name or password"),
    ],
)
def test_an_address_that_could_hold_a_key_is_refused_without_showing_it(make, variable, url, what):
    with pytest.raises(ValueError, match=f"url holds {what}.*and set {variable}") as error:
        make(url)
    assert SECRET not in str(error.value)


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://h/v1", "http://", ""])
def test_what_is_no_address_is_refused(url):
    with pytest.raises(ValueError, match="url must be an address such as http://x"):
        require_plain_address(url, example="http://x", kept_with="the run", variable="KEY")


@pytest.mark.parametrize("url", ["http://localhost:8000/v1", "https://h/a/b/chat/completions"])
def test_a_plain_address_is_taken(url):
    require_plain_address(url, example="http://x", kept_with="the run", variable="KEY")
    assert judge(url).url == reward(url).url == url
