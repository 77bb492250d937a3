"""The base of every configuration: frozen, strict, an exact JSON round trip."""

import hashlib

from pydantic import BaseModel, ConfigDict


class Config(BaseModel):
    """A frozen configuration; unknown keys raise, derived values are properties."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")

    @property
    def fingerprint(self) -> str:
        """Twelve hexadecimal digits that change with any setting."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:12]
