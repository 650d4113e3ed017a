import pytest
import torch
from tgdpo_reward_second_model import SecondModel
from transformers import LlamaConfig, LlamaForCausalLM

from tgdpo_core.testing import TokenRewardContract, make_tokenizer


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    torch.manual_seed(0)
    tokenizer = make_tokenizer()
    settings = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2}
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=2,
        **settings,
        **heads,
    )
    path = tmp_path_factory.mktemp("model")
    LlamaForCausalLM(config).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


class TestSecondModel(TokenRewardContract):
    @pytest.fixture(autouse=True)
    def _loaded(self, folder):
        self.plugin = SecondModel(model=str(folder))
