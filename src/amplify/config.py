"""The base of every configuration: frozen, strict, an exact JSON round trip."""

import hashlib
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, model_serializer


class Config(BaseModel):
    """A frozen configuration; unknown keys raise, derived values are properties."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")

    @property
    def fingerprint(self) -> str:
        """Twelve hexadecimal digits that change with any setting."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:12]


class GrownConfig(Config):
    """A configuration to which settings were added: fingerprints of results from before them stay valid.

    Subclasses name those settings in ``later``; they are left out of the JSON while they have their defaults.
    """

    later: ClassVar[tuple[str, ...]] = ()

    @model_serializer(mode="wrap")
    def _without_unused(self, handler: Any) -> dict[str, Any]:
        fields = type(self).model_fields
        unused = {name for name in self.later if getattr(self, name) == fields[name].default}
        return {name: value for name, value in handler(self).items() if name not in unused}
