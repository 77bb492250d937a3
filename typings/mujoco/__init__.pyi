# MuJoCo's Python names live in compiled modules without type information; pyright reads this in their place.
from typing import Any

def __getattr__(name: str) -> Any: ...
