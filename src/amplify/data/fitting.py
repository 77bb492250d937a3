"""What the sources of one set of windows must have in common."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from amplify.data.dataset import Dataset
from amplify.data.mixture.source import Source
from amplify.data.sidecar import Header, remedy_for
from amplify.errors import DataError, SidecarError

Shapes = Mapping[str, tuple[int, ...]]


class SameRecipe:
    """Refuses sidecars of one kind that were made in two ways; the length of track windows is free."""

    def __init__(self) -> None:
        self._first: dict[str, tuple[Path, Header]] = {}

    def require(self, kind: str, root: Path, folder: str, header: Header, part: str = "") -> None:
        """Checks one more sidecar.

        Args:
            kind: What is compared: sidecars of the same use.
            root: Of its dataset.
            folder: Where it lies.
            header: What it says of itself.
            part: Which part of the dataset it is of, for the message.

        Raises:
            SidecarError: It was made otherwise than the first one of its kind.
        """
        there, first = self._first.setdefault(kind, (root, header))
        if _recipe(header) != _recipe(first):
            raise SidecarError(
                f"{folder} was made in two ways",
                got=f"{header.recipe[2:]} for {part}{root}",
                allowed=f"{first.recipe[2:]}, as in {there}",
                remedy=remedy_for(root, folder),
            )


def _recipe(header: Header) -> tuple[str, ...]:
    settings = {name: value for name, value in header.settings.items() if name != "horizon"}
    return header.model_copy(update={"settings": settings}).recipe


def same_shapes(sources: Sequence[Source], shapes: Iterable[tuple[int, Shapes]]) -> None:
    """Refuses episodes whose arrays have other shapes than those of the first one.

    Args:
        sources: Named in the message.
        shapes: Of each episode the number of its source, and the shape of a row of each array; () where it has none.

    Raises:
        DataError: One of them does.
    """
    known: dict[str, tuple[int, tuple[int, ...]]] = {}
    for number, arrays in shapes:
        for name, shape in arrays.items():
            there, first = known.setdefault(name, (number, shape))
            if shape != first:
                raise DataError(
                    f"sources that do not fit together: {name} of {sources[number].path}",
                    got=shape or "none",
                    allowed=f"{first or 'none'}, as in {sources[there].path}",
                    remedy="train on datasets with the same cameras, grid and robot; name views that they share, and "
                    "those that some lack are masked",
                )


def same_robot(sources: Sequence[Source], datasets: Sequence[Dataset], *, cameras: bool) -> None:
    """Numbers of another meaning cannot be learned as one action space, whatever their count.

    Args:
        sources: With their embodiments.
        datasets: Of the sources.
        cameras: Whether cameras must have the same names, too.

    Raises:
        DataError: A source has no actions, or its actions, proprioception, frame rate or robot are not the first's.
    """
    for dataset in datasets:
        if dataset.spec.action_names is None:
            raise DataError(
                f"{dataset.root} is action-free video",
                remedy="use it for the tokenizer and the forward model only (in a mixture: role=video)",
            )
    first = _meaning(sources[0], datasets[0])
    for source, dataset in zip(sources, datasets):
        for what, theirs in _meaning(source, dataset).items():
            if theirs != first[what] and (cameras or what != "cameras"):
                raise DataError(
                    f"sources that do not fit together: {what} of {dataset.root}",
                    got=theirs,
                    allowed=f"{first[what]}, as in {datasets[0].root}",
                    remedy="train one inverse model for each action space and set of cameras; tokenizer and forward "
                    "dynamics can be shared, as they see no actions",
                )


def _meaning(source: Source, dataset: Dataset) -> dict[str, str]:
    spec = dataset.spec
    names = {"actions": spec.action_names, "proprioception": spec.proprio_names, "cameras": spec.cameras}
    return {
        **{what: ", ".join(value or ("none",)) for what, value in names.items()},
        "frame rate": f"{spec.fps} frames/s",
        "embodiment": source.embodiment or spec.robot_type,
    }
