"""The scripted expert: reaches a task's goals with full knowledge of the simulation.

``solve`` tries skills chosen from the goals' predicates in the simulator, takes it back after a failure, and keeps the
actions that worked.
"""

from amplify.sim.libero.oracle.config import OracleConfig
from amplify.sim.libero.oracle.solve import Attempt, solve

__all__ = ["Attempt", "OracleConfig", "solve"]
