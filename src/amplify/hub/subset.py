"""Some episodes of a dataset, under their own numbers: sidecars and notes go on to fit."""

import json
import re
from collections.abc import Collection
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from amplify.data.files import write_json, written_aside
from amplify.data.health import episode_rows, locate
from amplify.data.info import read_info, spec_of
from amplify.data.layout import NOTES_PATH
from amplify.data.stats import total_stats
from amplify.errors import DataError, UsageError


def parse_episodes(text: str) -> tuple[int, ...]:
    """Numbers of episodes, in order.

    Args:
        text: Like ``0-9,12``.

    Raises:
        UsageError: That are no numbers.
    """
    numbers: set[int] = set()
    for part in text.replace(" ", "").split(","):
        found = re.fullmatch(r"(\d{1,9})(?:-(\d{1,9}))?", part)
        if found is None or int(found[2] or found[1]) < int(found[1]):
            raise UsageError("no numbers of episodes", got=repr(text), allowed="like 0-9,12")
        if int(found[2] or found[1]) - int(found[1]) > 10_000_000:
            raise UsageError("too many episodes", got=repr(text))
        numbers.update(range(int(found[1]), int(found[2] or found[1]) + 1))
    return tuple(sorted(numbers))


def files_of(root: Path, episodes: Collection[int]) -> set[str]:
    """Files of rows and videos that hold some episodes, by their path within the dataset.

    Args:
        root: Where the descriptions lie; the files themselves need not.
        episodes: Numbers.

    Raises:
        DataError: There is no such episode.
    """
    info, rows = read_info(root), episode_rows(root)
    there = {row["episode_index"] for row in rows}
    missing = sorted(set(episodes) - there)
    if missing:
        raise DataError(
            "the dataset has no such episodes",
            got=", ".join(map(str, missing[:10])) + (" …" if len(missing) > 10 else ""),
            allowed=f"{min(there)} to {max(there)}" if there else "none: it is empty",
        )
    places, reasons = locate(root, info, spec_of(info, root), [r for r in rows if r["episode_index"] in set(episodes)])
    if reasons:
        index, reason = min(reasons.items())
        raise DataError(f"episode {index} cannot be used", got=reason, remedy="leave it out of --episodes")
    paths = {place.data for place in places.values()}
    paths |= {path for place in places.values() for path, _ in place.videos.values()}
    return {path.relative_to(root).as_posix() for path in paths}


def keep_episodes(root: Path, episodes: Collection[int]) -> None:
    """Rewrites a dataset's descriptions, so that they speak of some episodes only.

    Args:
        root: The dataset's folder.
        episodes: Numbers, all of which it has.
    """
    tables = []
    for path in sorted((root / "meta" / "episodes").glob("chunk-*/file-*.parquet")):
        table = pq.read_table(path)
        kept = table.filter(pa.array(np.isin(table["episode_index"].to_numpy(), sorted(episodes))))
        with written_aside(path) as aside:
            pq.write_table(kept, aside, compression="snappy")
        tables.append(kept)
    rows = pa.concat_tables(tables, promote_options="default")
    _keep_stats(root, rows)
    notes = root / NOTES_PATH
    if notes.is_file():
        lines = [line for line in notes.read_text().splitlines() if json.loads(line)["episode_index"] in episodes]
        with written_aside(notes) as aside:
            aside.write_text("".join(line + "\n" for line in lines))
    info = read_info(root)
    info |= {
        "total_episodes": len(rows),
        "total_frames": int(sum(rows["length"].to_pylist())),
        "splits": {"train": f"0:{len(rows)}"},
    }
    write_json(root / "meta" / "info.json", info)


def _keep_stats(root: Path, rows: pa.Table) -> None:
    path = root / "meta" / "stats.json"
    if not path.is_file():
        return
    total = json.loads(path.read_text())
    for feature in total:
        columns = {n.split("/")[2]: n for n in rows.column_names if n.startswith(f"stats/{feature}/")}
        if set(columns) != set(total[feature]) or rows.num_rows == 0:
            continue  # written without them: the figures of the whole dataset stay
        parts = [
            {name: np.array(rows[column][i].as_py()) for name, column in columns.items()} for i in range(len(rows))
        ]
        total[feature] = {name: value.tolist() for name, value in total_stats(parts).items()}
    write_json(path, total)
