"""What each worker makes for itself, once, rather than be sent it with every item."""

from collections.abc import Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Once(Generic[Value]):
    """A value that is made when it is first asked for, in each process anew: a model, on the worker's own device.

    Args:
        make: Picklable; travels in place of the value.
    """

    def __init__(self, make: Callable[[], Value]):
        self._make = make
        self._made: list[Value] = []

    def __call__(self) -> Value:
        """The value."""
        if not self._made:
            self._made.append(self._make())
        return self._made[0]

    def __reduce__(self):
        return Once, (self._make,)
