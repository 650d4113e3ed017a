"""The token reward `rarity`: log(n / df) of each token, over the responses of the training set."""

from tgdpo_core import TokenReward, hookimpl

TGDPO_API = 1


class Rarity(TokenReward):
    """log((1 + n) / (1 + df)) of each token: in how few of the n training responses it stands."""

    def prepare(self, context, examples):
        """Count the responses that each token is in."""
        import torch
        from safetensors.torch import save_file

        counts = torch.zeros(len(context.tokenizer), dtype=torch.int64)
        for example in examples:
            counts[list(set(example.response_ids))] += 1
        tables = {"counts": counts, "responses": torch.tensor(len(examples))}
        save_file(tables, context.artifacts / "counts.safetensors")

    def setup(self, context):
        from safetensors.torch import load_file

        tables = load_file(context.artifacts / "counts.safetensors")
        self._values = ((1 + tables["responses"]) / (1 + tables["counts"])).log()

    def score(self, batch):
        return [self._values[list(example.response_ids)] for example in batch]


@hookimpl
def register_token_rewards(register):
    register("rarity", Rarity)
