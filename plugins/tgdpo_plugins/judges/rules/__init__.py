"""The judge ``rules``: see ``judge``."""

from tgdpo_plugins.judges.rules.judge import Rules as Rules
