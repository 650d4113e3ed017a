import tgdpo_reward_repetition as plugin


def test_both_plugins_are_registered_under_their_names():
    rewards, transforms = {}, {}
    plugin.register_token_rewards(rewards.__setitem__)
    plugin.register_transforms(transforms.__setitem__)
    assert (list(rewards), list(transforms)) == (["repetition"], ["soft-clip"])
