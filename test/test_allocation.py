"""After warming up a frame takes no new memory: what it needs is what earlier frames gave back."""

import gc
import resource
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from goldens.fill import clip
from test_estimator_instances import Told, says

from instance_depth_ros import config
from instance_depth_ros.estimator import Estimator
from instance_depth_ros.frame import Frame

HEIGHT, WIDTH = 720, 1080
WARM_UP, FRAMES = 10, 30
PICTURES = clip(4, HEIGHT, WIDTH)
LITTLE = HEIGHT * WIDTH / 10  # bytes: a tenth of the smallest array of the picture's size


@pytest.fixture(scope="module", params=["network", "none"])
def step(lively_weights, request):
    """Takes the next frame of a stream that is warm, with a person and an animal or without instances."""
    settings = config.make("depth", weights=str(lively_weights), precision="fp32", instances=request.param)
    estimator, state, index = Estimator(settings), None, 0
    estimator.engine = Told(estimator.engine)

    def step():
        nonlocal state, index
        estimator.engine.says = says(index % 4)
        estimate, state = estimator.step(Frame(PICTURES[index % 4], index * 33_000_000), state)
        index += 1
        return estimate

    for _ in range(WARM_UP):
        step()
    assert len(step().instances) == (2 if request.param == "network" else 0)
    return step


def arrays(estimate) -> list[np.ndarray]:
    every = estimate.depth_m, estimate.confidence, estimate.source, estimate.ids
    return [array for array in every if array is not None]


@pytest.fixture
def traced():
    tracemalloc.start()
    yield
    tracemalloc.stop()


def test_a_frame_takes_no_page_from_the_system(step):
    def faults() -> int:
        before = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
        for _ in range(FRAMES):
            step()
        return resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - before

    with ThreadPoolExecutor(1) as worker:  # a thread has memory of its own, which is to warm up first
        worker.submit(faults).result()
        taken = worker.submit(faults).result() * resource.getpagesize() / FRAMES
    assert taken < LITTLE


def test_nothing_grows_and_a_frame_needs_little_more_than_it_hands_out(step, traced):
    step()
    gc.collect()
    before, most = tracemalloc.get_traced_memory()[0], 0
    for _ in range(FRAMES):
        tracemalloc.reset_peak()
        held = tracemalloc.get_traced_memory()[0]
        estimate = step()
        handed_out = sum(array.nbytes for array in arrays(estimate))
        del estimate
        most = max(most, (tracemalloc.get_traced_memory()[1] - held) / handed_out)
    gc.collect()
    assert tracemalloc.get_traced_memory()[0] - before < LITTLE
    assert most < 2.5


def test_an_estimate_that_is_held_is_not_overwritten(step):
    held = step()
    copies = [array.copy() for array in arrays(held)]
    for _ in range(FRAMES):
        step()
    for array, copy in zip(arrays(held), copies, strict=True):
        np.testing.assert_array_equal(array, copy)
