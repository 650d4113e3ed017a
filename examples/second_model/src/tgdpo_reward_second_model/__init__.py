"""The token reward `second-model`."""

from tgdpo_core import Spans, TokenReward, hookimpl, model_fingerprint, option

TGDPO_API = 1


class SecondModel(TokenReward):
    """Log-probs of another model, in its own tokens."""

    needs = ("models",)

    model: str = option(help="folder or Hub id of the model")
    batch_size: int = option(2, help="responses per forward", stored=False)

    def fingerprint(self):
        return {"model": model_fingerprint(self.model, with_tokenizer=True)}

    def setup(self, context):
        self._context = context
        self._tokenizer = context.load_tokenizer(self.model)
        self._model = context.load_causal_lm(self.model)

    def score(self, batch):
        read = self._context.retokenize(batch, self._tokenizer)
        logps = self._context.token_logps(self._model, read)
        return [
            Spans([(a, b, v) for (a, b), v in zip(e.offsets, values.tolist(), strict=True)], "sum")
            for e, values in zip(read, logps, strict=True)
        ]

    def teardown(self):
        self._model = self._tokenizer = self._context = None


@hookimpl
def register_token_rewards(register):
    register("second-model", SecondModel)
