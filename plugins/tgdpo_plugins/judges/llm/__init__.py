"""The judge ``llm``: see ``judge``."""

from tgdpo_plugins.judges.llm.judge import LLMJudge as LLMJudge
