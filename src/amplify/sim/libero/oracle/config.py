"""How the oracle acts and how much its performances vary."""

from pydantic import Field

from amplify.config import Config


class OracleConfig(Config):
    """Limits, pace and natural variation of the scripted expert."""

    attempts: int = Field(default=5, ge=1)
    """Simulated attempts for one demonstration: the first, and every time that the simulation is taken back."""
    max_decisions: int = Field(default=900, ge=1)
    """Actions after which a demonstration is given up."""
    speed_m_s: tuple[float, float] = (0.18, 0.28)
    """Slowest and fastest pace through free space; each performance has its own."""
    noise: float = Field(default=0.08, ge=0.0, le=0.5)
    """Standard deviation of what disturbs the hand in free space, in action units; it is recovered from."""
    approach_m: tuple[float, float] = (0.06, 0.12)
    """Lowest and highest point above a grasp from which it is approached."""
    detour_m: float = Field(default=0.03, ge=0.0)
    """How far via points stray sideways from the straight way."""
    grasp_jitter_m: float = Field(default=0.003, ge=0.0)
    """Standard deviation of a grasp's displacement."""
    grasp_jitter_deg: float = Field(default=5.0, ge=0.0)
    """Standard deviation of a grasp's turn."""
    settle_decisions: int = Field(default=6, ge=0)
    """Actions that are still recorded after success has come to stay."""
