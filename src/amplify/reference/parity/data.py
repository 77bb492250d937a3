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
            values[name + INDEX] = lambda g=name: Value(ours=self.loader.index(self._settings(g).horizon))
            values |= {
                full: lambda g=name, n=number, f=field: Value(ours=self.loader.sample(n, self._settings(g))[f])
                for full, (number, field) in self._samples(name).items()
                if field in ReferenceLoader.FIELDS
            }
        return values

    def _samples(self, name: str) -> dict[str, tuple[int, str]]:
        matches = {full: re.fullmatch(rf"{re.escape(name)}_(\d+)_(\w+)", full) for full in self.stored}
        return {full: (int(match[1]), match[2]) for full, match in matches.items() if match}

    def _settings(self, name: str) -> LoaderSettings:
        fields = {field: self.stored[full] for full, (_, field) in self._samples(name).items()}
        return settings_of(name, str(self.stored[name + INDEX]), fields)
