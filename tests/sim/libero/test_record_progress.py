import itertools
import random

import pytest

from amplify.sim.libero.record_progress import Outcome, Progress

KEPT, FAILED = Outcome(success=True, attempts=1), Outcome(success=False, attempts=5, unstable=1, reason="no grasp")


def finished(pattern: str, *, wanted: int, patience: int, order: random.Random | None = None) -> Progress:
    """A task whose episode n succeeds if the pattern has a "+" there; each round's outcomes come in any order."""
    progress = Progress(wanted, patience)
    for _ in range(100):
        numbers = progress.next_numbers()
        if not numbers:
            return progress
        if order is not None:
            order.shuffle(numbers)
        for number in numbers:
            progress.add(number, KEPT if pattern[number % len(pattern)] == "+" else FAILED)
    raise AssertionError("it never ends")


def test_enough_successes_end_the_recording():
    progress = finished("+-+", wanted=4, patience=3)
    assert progress.kept == [0, 2, 3, 5]
    assert progress.complete
    assert not progress.given_up
    assert progress.counts() == {"episodes": 4, "failed": 2, "simulated_attempts": 14, "unstable": 2}


def test_so_many_failures_in_a_row_end_it_too():
    progress = finished("+--+---+", wanted=8, patience=3)
    assert progress.kept == [0, 3]
    assert progress.given_up
    assert progress.reason == "no grasp"
    assert progress.counts()["failed"] == 5


def test_a_task_that_never_works_is_tried_as_often_as_its_patience():
    progress = Progress(2, 3)
    for number in itertools.count():
        if number not in progress.next_numbers():
            break
        progress.add(number, FAILED)
    assert progress.given_up
    assert progress.counts() == {"episodes": 0, "failed": 3, "simulated_attempts": 15, "unstable": 3}


@pytest.mark.parametrize("pattern", ["+-", "+--", "--+", "++-+"])
def test_neither_order_nor_what_is_known_already_changes_what_is_kept(pattern):
    expected = finished(pattern, wanted=5, patience=3)
    for seed in range(5):
        order = random.Random(seed)
        resumed = Progress(5, 3)
        for number in order.sample(range(8), 4):
            resumed.add(number, KEPT if pattern[number % len(pattern)] == "+" else FAILED)
        assert finished(pattern, wanted=5, patience=3, order=order).kept == expected.kept
        while numbers := resumed.next_numbers():
            for number in numbers:
                resumed.add(number, KEPT if pattern[number % len(pattern)] == "+" else FAILED)
        assert resumed.kept == expected.kept
        assert resumed.counts() == expected.counts()
