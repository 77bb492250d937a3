"""Where a policy can act, by name."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial

from amplify.errors import MissingDependencyError
from amplify.protocols import Benchmark
from amplify.sim.libero.benchmark import LiberoBenchmark
from amplify.sim.libero.tasks import suite_name, suites
from amplify.sim.metaworld.benchmark import MetaWorldBenchmark

LIBERO = "libero/"
"""What the names of LIBERO's suites begin with, which the installed package lists."""


class _Benchmarks(Mapping[str, Callable[[], Benchmark]]):
    """Meta-World, and every suite of the installed LIBERO package once it is asked for."""

    def __getitem__(self, name: str) -> Callable[[], Benchmark]:
        if name.startswith(LIBERO):
            return partial(LiberoBenchmark, suite_name(name))
        return _OWN[name]

    def __contains__(self, name: object) -> bool:
        # A suite that is not there is an error of its own, which knows what is installed.
        return name in _OWN or (isinstance(name, str) and name.startswith(LIBERO))

    def __iter__(self) -> Iterator[str]:
        yield from _OWN
        try:
            yield from (f"{LIBERO}{suite}" for suite in suites())
        except MissingDependencyError:
            return

    def __len__(self) -> int:
        return sum(1 for _ in self)


_OWN: dict[str, Callable[[], Benchmark]] = {"metaworld": MetaWorldBenchmark}

BENCHMARKS: Mapping[str, Callable[[], Benchmark]] = _Benchmarks()
"""Look up with ``errors.pick(name, BENCHMARKS, kind="benchmark")`` and call."""
