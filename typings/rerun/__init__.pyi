# Rerun is an extra that the checks run without; pyright reads this in its place.
from typing import Any

def __getattr__(name: str) -> Any: ...
