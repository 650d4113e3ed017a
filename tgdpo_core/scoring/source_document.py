"""What of a reward decides its stored values, as the store's key has it."""

import json
from typing import Any

from tgdpo_core.errors import PluginError
from tgdpo_core.plugin_api.hookspecs import API_VERSION
from tgdpo_core.scoring.sources import RewardSource
from tgdpo_core.secret_values import holds_secret


def source_document(source: RewardSource) -> dict[str, Any]:
    """Return the part of the store's key that the plugin itself decides.

    Raises:
        PluginError: it holds the value of a secret, which would be written to the store.
    """
    document = {
        "kind": "token_rewards",
        "api": API_VERSION,
        "plugin": dict(source.identity),
        "store_version": source.reward.store_version,
        "options": source.reward.options(stored_only=True),
        "fingerprint": dict(source.reward.fingerprint()),
    }
    if holds_secret(json.dumps(document, default=str)):
        raise PluginError(
            f"{source}: its fingerprint or its options hold the value of a secret. The store's key "
            "is written down: name there what the secret opens (a model, a version) instead."
        )
    return document
