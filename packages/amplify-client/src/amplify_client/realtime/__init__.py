"""A real-time loop for robots: fixed rate, plans computed meanwhile, limits, watchdog, dry runs. NumPy alone."""

from amplify_client.realtime.arm import ArmExpert, KinematicArm
from amplify_client.realtime.asking import Answer, Asker, ReconnectingClient, ThreadAsker
from amplify_client.realtime.clock import Clock, ManualClock, WallClock
from amplify_client.realtime.episode import GAVE_UP, STEP_LIMIT, SUCCESS
from amplify_client.realtime.faults import Faulty
from amplify_client.realtime.keeping import EpisodeFolder
from amplify_client.realtime.limits import DimensionLimits, Limited, Limiter, Limits
from amplify_client.realtime.log import StepLog
from amplify_client.realtime.loop import Loop
from amplify_client.realtime.priority import undisturbed
from amplify_client.realtime.report import Tally
from amplify_client.realtime.robot import STATE, Robot, load_robot
from amplify_client.realtime.schedule import HandOver, Schedule
from amplify_client.realtime.settings import LoopConfig
from amplify_client.realtime.starting import run_robot
from amplify_client.realtime.step import Observer, Step
from amplify_client.realtime.watchdog import Watchdog

__all__ = [
    "GAVE_UP",
    "STATE",
    "STEP_LIMIT",
    "SUCCESS",
    "Answer",
    "ArmExpert",
    "Asker",
    "Clock",
    "DimensionLimits",
    "EpisodeFolder",
    "Faulty",
    "HandOver",
    "KinematicArm",
    "Limited",
    "Limiter",
    "Limits",
    "Loop",
    "LoopConfig",
    "ManualClock",
    "Observer",
    "ReconnectingClient",
    "Robot",
    "Schedule",
    "Step",
    "StepLog",
    "Tally",
    "ThreadAsker",
    "WallClock",
    "Watchdog",
    "load_robot",
    "run_robot",
    "undisturbed",
]
