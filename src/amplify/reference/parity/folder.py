"""Every array of a folder that the reference's code wrote, compared with ours.

A folder holds checkpoints (``*.pt``), arrays that the reference computed with them (``*.npz``) and, for the loader's
arrays, its data (``data/``). What a file is, is seen from what it holds.
"""

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np

from amplify.errors import AmplifyError, BundleError
from amplify.inverse import InverseDynamics
from amplify.reference.importer import Converted, Imported, convert
from amplify.reference.loader import ReferenceLoader
from amplify.reference.parity.arrays import Stored, Values
from amplify.reference.parity.comparison import Row, compare
from amplify.reference.parity.data import INDEX, LoaderArrays
from amplify.reference.parity.forward import ForwardArrays
from amplify.reference.parity.inverse import HeadArrays, InverseArrays
from amplify.reference.parity.policy import ActionArrays, ImageArrays, MotionArrays
from amplify.reference.parity.tokenizer import TokenizerArrays
from amplify.reference.reading import Kind, Part, read_parts

DATA = "data"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What came of a folder.

    Args:
        rows: One an array.
        checkpoints: By file, the parts that it holds, or why it cannot be used.
        broken: Files that cannot be used.
        others: What else lies there.
    """

    rows: list[Row]
    checkpoints: dict[str, str]
    broken: list[str]
    others: list[str]

    @property
    def passed(self) -> bool:
        """Whether every array agrees and every file can be used."""
        return all(row.passed for row in self.rows) and not self.broken

    @property
    def summary(self) -> dict[str, Any]:
        """JSON values: verdict, counts, files, and a row an array."""
        roles = [row.role for row in self.rows]
        return {
            "passed": self.passed,
            "checkpoints": self.checkpoints,
            "other_files": self.others,
            "rows": [asdict(row) for row in self.rows],
            "arrays": len(self.rows),
            "compared": roles.count("compared"),
            "inputs": roles.count("input"),
            "failed": self.broken + [f"{row.file}/{row.name}" for row in self.rows if not row.passed],
        }


def check_folder(folder: Path) -> Report:
    """Every array of every ``.npz`` file of a folder, and whether each checkpoint can be imported.

    Raises:
        BundleError: There is no such folder, or it holds no arrays.
    """
    if not folder.is_dir():
        raise BundleError(f"no folder {folder}")
    archives = sorted(folder.glob("*.npz"))
    if not archives:
        raise BundleError(f"no arrays in {folder}", allowed="*.npz files that the reference implementation wrote")
    checkpoints = sorted(folder.glob("*.pt"))
    models = _Models(checkpoints)
    rows: list[Row] = []
    for path in archives:
        try:
            with np.load(path) as archive:
                stored = {name: archive[name] for name in archive.files}
        except (ValueError, OSError, zipfile.BadZipFile, EOFError) as error:
            models.refuse(path, str(error))
            continue
        rows += _rows(path.name, stored, models, folder / DATA)
    seen = {*archives, *checkpoints}
    return Report(
        rows=rows,
        checkpoints=models.files,
        broken=models.broken,
        others=sorted(path.name for path in folder.iterdir() if path not in seen),
    )


class _Models:
    """The models of all checkpoints of a folder: one whole policy, and every inverse model for the sake of its head.

    Args:
        paths: The checkpoints.
    """

    def __init__(self, paths: Sequence[Path]):
        self.files: dict[str, str] = {}
        self.broken: list[str] = []
        every: dict[Path, list[Part]] = {}
        for path in paths:
            try:
                every[path] = read_parts(path)
                self.files[path.name] = ", ".join(part.kind for part in every[path])
            except AmplifyError as error:
                self.refuse(path, str(error))
        # A bundled checkpoint is one policy; where there is none, the stages are.
        ranked = sorted((part for parts in every.values() for part in parts), key=lambda part: _rank(part, every))
        chosen: dict[Kind, Part] = {}
        for part in ranked:
            chosen.setdefault(part.kind, part)
        self.policy = self._policy(chosen)
        self.inverse: list[Converted[InverseDynamics]] = []
        for part in ranked:
            if part is not chosen[part.kind] or part.kind == "inverse":
                context: dict[Kind, Part] = {k: chosen[k] for k in ("tokenizer", "forward") if k in chosen}
                imported = self._converted({**context, part.kind: part})
                if imported is not None and imported.inverse is not None and part.kind == "inverse":
                    self.inverse.append(imported.inverse)

    def refuse(self, path: Path, reason: str) -> None:
        """Notes a file that cannot be used."""
        self.files[path.name] = reason
        if path.name not in self.broken:
            self.broken.append(path.name)

    def _policy(self, chosen: Mapping[Kind, Part]) -> Imported:
        """All that can be imported: one broken part does not hide the others."""
        whole, parts = self._converted(chosen), dict[Kind, Part]()
        if whole is not None:
            return whole
        imported = Imported()
        for kind in sorted(chosen, key=get_args(Kind).index):
            more = self._converted({**parts, kind: chosen[kind]})
            if more is not None:
                imported, parts[kind] = more, chosen[kind]
        return imported

    def _converted(self, parts: Mapping[Kind, Part]) -> Imported | None:
        try:
            return convert(parts)
        except AmplifyError as error:
            sources = {part.source for part in parts.values()}
            for source in {path for path in sources if path.name in str(error)} or sources:
                self.refuse(source, str(error))
            return None


def _rank(part: Part, every: Mapping[Path, Sequence[Part]]) -> tuple[int, str]:
    return (-len(every[part.source]), "" if part.settings.get("type") == "gaussian" else part.source.name)


def _rows(file: str, stored: Stored, models: _Models, data: Path) -> list[Row]:
    inputs, values = _counterparts(stored, models, data)
    return [_row(file, name, array, inputs, values) for name, array in stored.items()]


def _row(file: str, name: str, array: np.ndarray, inputs: frozenset[str], values: Values) -> Row:
    if name not in values:
        if name in inputs:
            return Row(file=file, name=name, role="input", passed=True)
        return Row(file=file, name=name, role="uncovered", passed=False, note="nothing in the folder computes it")
    try:
        return compare(file, name, array, values[name]())
    except (AmplifyError, RuntimeError, ValueError, TypeError, LookupError) as error:
        first = (str(error) or type(error).__name__).splitlines()[0]
        return Row(file=file, name=name, role="compared", passed=False, note=first)


def _counterparts(stored: Stored, models: _Models, data: Path) -> tuple[frozenset[str], Values]:
    """Which arrays are inputs, and how to compute the others."""
    policy = models.policy
    subjects: list[Any] = [HeadArrays(inverse, stored) for inverse in models.inverse]
    tokenizer = None if policy.tokenizer is None else TokenizerArrays(policy.tokenizer, stored)
    forward = None if policy.forward is None else ForwardArrays(policy.forward, stored)
    subjects += [subject for subject in (tokenizer, forward) if subject is not None]
    if tokenizer is not None and forward is not None:
        subjects.append(MotionArrays(forward, tokenizer, stored))
    if policy.inverse is not None and forward is not None:
        subjects.append(ActionArrays(policy.inverse, forward, stored))
        if policy.inverse.module.config.head == "gaussian":
            subjects.append(InverseArrays(policy.inverse, forward, stored))
    subjects += [] if policy.vision_encoder is None else [ImageArrays(policy.vision_encoder, stored)]
    if data.is_dir() and any(name.endswith(INDEX) for name in stored):
        told = {} if policy.tokenizer is None else policy.tokenizer.part.settings
        loader = ReferenceLoader(data, told.get("cond_cameraviews", ()), told.get("track_method", "*"))
        subjects.append(LoaderArrays(loader, stored))
    inputs = frozenset({"images"}).union(*(subject.INPUTS for subject in subjects))
    return inputs, {name: value for subject in subjects for name, value in subject.values.items()}
