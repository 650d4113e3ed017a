"""Randomness that belongs to a response, not to the moment at which it is drawn.

A generator is seeded by a hash of the option ``seed``, of who draws, and of the response's content.
So its numbers are the same in every order, batch, process and epoch, whatever PYTHONHASHSEED is,
and nobody else's random state is touched.
"""

import hashlib
import random

from tgdpo_core import Example


def example_generator(example: Example, *, stream: str, seed: int) -> random.Random:
    """Return a new random generator of one response.

    Args:
        example: the response; only its ``uid`` counts.
        stream: who draws; with one seed, two streams are independent of each other.
        seed: another seed, another draw.
    """
    # Stored rewards depend on this line: whoever changes it raises RandomReward.store_version.
    key = f"{seed}\0{stream}\0{example.uid}".encode()
    digest = hashlib.blake2b(key, digest_size=8).digest()
    return random.Random(int.from_bytes(digest, "big"))
