"""Where a policy can act, by name."""

from collections.abc import Callable

from amplify.protocols import Benchmark
from amplify.sim.metaworld.benchmark import MetaWorldBenchmark

BENCHMARKS: dict[str, Callable[[], Benchmark]] = {"metaworld": MetaWorldBenchmark}
"""Look up with ``errors.pick(name, BENCHMARKS, kind="benchmark")`` and call."""
