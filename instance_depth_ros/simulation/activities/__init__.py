"""One file an activity: build(rng) gives its World. Sizes follow the real ones."""

from importlib import import_module

import numpy as np

from ..world import World


def build(activity: str, rng: np.random.Generator) -> World:
    """The world of one of config.ACTIVITIES."""
    return import_module(f".{activity}", __name__).build(rng)
