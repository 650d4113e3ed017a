"""Step scores of a server, 2p - 1."""

from tgdpo_core import Cost, Spans, TokenReward, option
from tgdpo_reward_step_server.steps import split_steps


class StepServer(TokenReward):
    """Step scores of a server behind HTTP, 2p - 1 on the characters of each line."""

    url: str = option(help="address that is asked", stored=False)
    version: str = option("prm-1", help="of the served model; change it when its values change")
    api_key: str | None = option(None, secret=True, env="STEP_SERVER_KEY", help="its key, if any")
    concurrency: int = option(64, help="calls under way at once", stored=False)

    cost_note = Cost(per_call=0.0002)

    async def setup(self, context):
        import httpx2

        headers = {"authorization": f"Bearer {self.api_key}"} if self.api_key else {}
        limits = httpx2.Limits(max_connections=self.concurrency)
        self._client = httpx2.AsyncClient(headers=headers, limits=limits, timeout=60)

    async def score_one(self, example):
        steps = list(split_steps(example.response))
        if not steps:
            return Spans([])
        asked = {"prompt": example.prompt, "steps": [text for _, _, text in steps]}
        scores = (await self._post(asked))["scores"]
        if len(scores) != len(steps):
            raise ValueError(f"{len(scores)} scores for {len(steps)} steps")
        return Spans([(a, b, 2 * p - 1) for (a, b, _), p in zip(steps, scores, strict=True)])

    async def teardown(self):
        client = vars(self).pop("_client", None)
        if client:
            await client.aclose()

    async def _post(self, asked):
        import httpx2
        import tenacity

        def may_help(error):
            is_refusal = isinstance(error, httpx2.HTTPStatusError) and (
                error.response.status_code < 500 and error.response.status_code != 429
            )
            return isinstance(error, httpx2.HTTPError) and not is_refusal

        async def once():
            response = await self._client.post(self.url, json=asked)
            return response.raise_for_status().json()

        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception(may_help),
            wait=tenacity.wait_exponential(multiplier=0.2, max=30),
            stop=tenacity.stop_after_delay(120),
            reraise=True,
        )
        return await retrying(once)
