"""What the real-time loop keeps: rate, jitter, hand-over and stalls of the simulated arm, under latency and losses.

python benchmarks/realtime.py --seconds 30
"""

import argparse
import json
import multiprocessing
import time

import psutil
from amplify_client.realtime import ArmExpert, Faulty, KinematicArm, LoopConfig, run_robot

RATES_HZ = (20.0, 35.0, 50.0)
NETWORKS = {
    "none": {},
    "50 ms": {"latency_s": 0.05, "jitter_s": 0.01},
    "150 ms": {"latency_s": 0.15, "jitter_s": 0.03},
    "50 ms, 10 % lost": {"latency_s": 0.05, "jitter_s": 0.01, "drop_share": 0.1, "timeout_s": 0.25},
}


class Restless(KinematicArm):
    """Never arrives: the disc moves on each time it is reached, so that an episode lasts as long as it is to."""

    def observe(self):
        """As of the arm; reached means on to the next."""
        seen = super().observe()
        if self.success:
            self._next = getattr(self, "_next", 0) + 1
            joints = self._joints.copy()
            self.reset(self._next)
            self._joints = self._goal = joints
        return seen


def measured(rate_hz, network, seconds, priority):
    """The figures of one episode."""
    policy = Faulty(ArmExpert(horizon=32), **NETWORKS[network])
    config = LoopConfig(rate_hz=rate_hz, replan_every=4, max_steps=int(seconds * rate_hz), priority=priority)
    tally = run_robot(Restless(), policy, "reach", config)
    found = tally.summary()
    return {
        "rate_hz": rate_hz,
        "network": network,
        "achieved_hz": round(found["rate_hz"]["achieved"], 3),
        "jitter_p50_ms": round(found["jitter_ms"]["p50"], 3),
        "jitter_p99_ms": round(found["jitter_ms"]["p99"], 3),
        "late_p99_ms": round(found["late_ms"]["p99"], 3),
        "entered_at_step_p50": found["entered_at_step"]["p50"],
        "jump_p99_rad": round(found["jump_at_hand_over"]["p99"], 4),
        "plans": found["plans"]["used"],
        "lost": found["plans"]["failed"],
        "missed_ticks": found["steps"]["missed"],
        "stale_steps": found["steps"]["stale"],
        "stalls": found["stalls"]["count"],
        "recovered": found["stalls"]["recovered"],
        "steps": tally.steps,
    }


def busy(until_s):
    """Keeps a core busy."""
    while time.time() < until_s:
        pass


def main():
    """Prints a row a rate and network, and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0, help="of each row")
    parser.add_argument("--load", type=int, default=0, help="other processes that keep a core busy each")
    parser.add_argument("--priority", type=int, default=0, help="of the loop's thread, 0 to 99")
    given = parser.parse_args()
    ends_s = time.time() + (given.seconds + 20) * len(RATES_HZ) * len(NETWORKS)
    others = [multiprocessing.Process(target=busy, args=(ends_s,), daemon=True) for _ in range(given.load)]
    for other in others:
        other.start()
    rows = []
    for rate_hz in RATES_HZ:
        for network in NETWORKS:
            rows.append(measured(rate_hz, network, given.seconds, given.priority))
            print("  ".join(f"{name} {value}" for name, value in rows[-1].items()), flush=True)
    for other in others:
        other.terminate()
    print(
        json.dumps(
            {
                "rows": rows,
                "load_average": psutil.getloadavg()[0],
                "other_processes": given.load,
                "priority": given.priority,
            }
        )
    )


if __name__ == "__main__":
    main()
