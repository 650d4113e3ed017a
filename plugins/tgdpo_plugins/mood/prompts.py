"""The data set ``mood-prompts``: requests for one sentence on an everyday topic, nothing else.

A topic of the test split never occurs in the training split, in whatever form.
"""

import random
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from tgdpo_core import NamedDataset

FORMS = (
    "Write one sentence about {}.",
    "Describe {} in one short sentence.",
    "What comes to mind when you think of {}? Answer in one sentence.",
    "Begin a story about {} with one sentence.",
    "Write one line in a diary about {}.",
)

TRAIN_TOPICS = (
    "a Sunday breakfast",
    "the last train home",
    "a rusty bicycle",
    "the waiting room of a hospital",
    "fog over the harbour",
    "a letter from the tax office",
    "the night before an exam",
    "a cracked window",
    "the new people next door",
    "a meeting that runs late",
    "a small railway station",
    "a first job interview",
    "the dentist's chair",
    "an umbrella left on a bus",
    "lunch in a school canteen",
    "a street full of building sites",
    "the first snow of the year",
    "a second-hand computer",
    "a village with one shop",
    "moving to a big city",
    "a phone that rings at night",
    "a speech at a wedding",
    "a cancelled flight",
    "an empty fridge",
    "a dog without an owner",
    "a child's birthday party",
    "a room in a cheap hotel",
    "a traffic jam in summer",
    "a local football match",
    "the reading room of a library",
    "a fine for parking",
    "a cup of tea",
    "a crowded restaurant",
    "an old family photograph",
    "a power cut",
    "a visit to an aunt",
    "the end of the school year",
    "crossing a border",
    "working at night",
    "a garden in October",
    "a beach in winter",
    "sleeping in a tent",
    "a roof that leaks",
    "guests who come unannounced",
    "a project with colleagues",
    "an election day",
    "a morning in court",
    "a ferry in a storm",
    "a steep mountain path",
    "a house nobody lives in",
    "learning the violin",
    "a promise that was not kept",
    "a call from the bank",
    "a long winter evening",
    "a fish market",
    "a fire alarm at work",
    "an office after everyone has left",
    "life on a farm",
    "a game of chess",
    "a road through the desert",
    "a ticket for the lottery",
    "a manager with many demands",
    "an exhibition of paintings",
    "a shopping centre on Saturday",
    "a ride on a scooter",
    "the smell of a bakery",
    "a queue that does not move",
    "a closed factory",
    "a river after heavy rain",
    "a soldier's return",
    "a cat that is missing",
    "a password nobody remembers",
)

TEST_TOPICS = (
    "walking through a forest at dusk",
    "arrivals at an airport",
    "the only doctor of an island",
    "a class reunion",
    "the end of a marriage",
    "an old stone bridge",
    "a computer update",
    "a holiday in the rain",
    "a secret between friends",
    "a strict teacher",
    "a lighthouse",
    "a dinner that burnt",
    "packing boxes for a move",
    "a date with a stranger",
    "a broken arm",
    "a new haircut",
    "a choir rehearsal",
    "the neighbour's music",
    "a lost wallet",
    "a walk with a grandfather",
    "a swimming lesson",
    "a strike of bus drivers",
    "planting a tree",
    "a bill from the electrician",
)

_ORDER = 20  # of the shuffle: the first rows are of many topics and all forms


class MoodPrompts(NamedDataset):
    """Prompts of the world mood: 360 on 72 topics in ``train``, 120 on 24 others in ``test``."""

    only_prompts: ClassVar[bool] = True

    def rows(self, split: str) -> Iterator[Mapping[str, Any]]:
        """Yield prompts of one user message each, in one order for all.

        Raises:
            ValueError: for another split than train and test.
        """
        topics = {"train": TRAIN_TOPICS, "test": TEST_TOPICS}.get(split)
        if topics is None:
            raise ValueError(f"there is no split '{split}', only train and test")
        prompts = [form.format(topic) for topic in topics for form in FORMS]
        random.Random(_ORDER).shuffle(prompts)
        return ({"prompt": [{"role": "user", "content": text}]} for text in prompts)
