"""The judge ``lexicon``: see ``judge``."""

from tgdpo_plugins.judges.lexicon.judge import Lexicon as Lexicon
