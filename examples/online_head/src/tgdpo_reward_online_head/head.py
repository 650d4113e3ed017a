"""A head that learns from the preferences while the policy does."""

from tgdpo_core import TokenReward, option


class OnlineHead(TokenReward):
    """A linear head on log pi and log pi/pi_ref of a token, trained while the policy is.

    r_t = w_0 log pi_t + w_1 log pi_t/pi_ref_t, w trained by Adam on the loss
    -log sigmoid(sum_t r_t of the chosen response - sum_t r_t of the rejected one).
    """

    dynamic = True
    needs = ("reference_logps",)

    learning_rate: float = option(0.01, help="of the head")

    def setup(self, context):
        import torch

        self._w = torch.zeros(2, requires_grad=True)
        self._optimizer = torch.optim.Adam([self._w], lr=self.learning_rate)
        self._num_pairs = 0

    def score(self, batch):
        import torch

        values = [self._features(example) @ self._w for example in batch]
        if self.phase == "train":
            sums = torch.stack([value.sum() for value in values])
            margins = sums[::2] - sums[1::2]  # chosen and rejected responses take turns
            (-torch.nn.functional.logsigmoid(margins)).sum().backward()
            self._num_pairs += len(margins)
        return [value.detach() for value in values]

    def on_step_end(self, step):
        import torch

        seen = torch.cat([self._w.grad, torch.tensor([float(self._num_pairs)])])
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.all_reduce(seen)
        self._w.grad = seen[:2] / seen[2]
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=False)
        self._num_pairs = 0

    def state_dict(self):
        return {"w": self._w.detach(), "optimizer": self._optimizer.state_dict()}

    def load_state_dict(self, state):
        self._w.data.copy_(state["w"])
        self._optimizer.load_state_dict(state["optimizer"])

    def _features(self, example):
        import torch

        policy, reference = (example.shared[f"{name}_logps"] for name in ("policy", "reference"))
        return torch.stack([policy, policy - reference], dim=1)
