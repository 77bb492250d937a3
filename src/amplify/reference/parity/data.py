"""Our counterparts of what the reference's loader gave: arrays ``<setting>_<sample>_<field>`` and their indices."""

import re

from amplify.reference.loader import LoaderSettings, ReferenceLoader, settings_of
from amplify.reference.parity.arrays import Stored, Values
from amplify.reference.parity.comparison import Value

INDEX = "_index"


class LoaderArrays:
    """What the reference's loader made of a data folder, under each of its settings.

    Args:
        loader: Ours, on that folder.
        stored: The arrays of the file.
    """

    INPUTS: frozenset[str] = frozenset()

    def __init__(self, loader: ReferenceLoader, stored: Stored):
        self.loader, self.stored = loader, stored

    @property
    def values(self) -> Values:
        """By array: how to compute ours; arrays of fields that the loader does not give are left out."""
        values = {}
        for name in (n.removesuffix(INDEX) for n in self.stored if n.endswith(INDEX)):
            samples = self._samples(name)
            fields = {field: self.stored[full] for full, (_, field) in samples.items()}
            settings = settings_of(name, str(self.stored[name + INDEX]), fields)
            values[name + INDEX] = lambda s=settings: Value(ours=self.loader.index(s.horizon))
            values |= {
                full: lambda n=number, f=field, s=settings: self._value(n, f, s)
                for full, (number, field) in samples.items()
                if field in ReferenceLoader.FIELDS
            }
        return values

    def _samples(self, name: str) -> dict[str, tuple[int, str]]:
        matches = {full: re.fullmatch(rf"{re.escape(name)}_(\d+)_(\w+)", full) for full in self.stored}
        return {full: (int(match[1]), match[2]) for full, match in matches.items() if match}

    def _value(self, number: int, field: str, settings: LoaderSettings) -> Value:
        return Value(ours=self.loader.sample(number, settings)[field])
