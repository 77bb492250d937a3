"""``amplify predict``: the motion that a bundle foresees, drawn on any image."""

import logging
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import tyro
from jaxtyping import UInt8

logger = logging.getLogger(__name__)

SUFFIXES = (".png", ".mp4")


def predict(
    bundle: Annotated[Path, tyro.conf.Positional],
    image: Annotated[tuple[Path, ...], tyro.conf.Positional],
    *,
    text: str = "",
    goal_image: tuple[Path, ...] = (),
    samples: int = 1,
    temperature: float = 1.0,
    seed: int = 0,
    out: Path = Path("motion.png"),
    grid: int | None = None,
    fit: Literal["crop", "pad"] = "crop",
    frame: int | None = None,
) -> dict[str, Any]:
    """Draws where points will go, given one image and one sentence; several futures with their log-likelihoods.

    One future is the motion to expect, on which a policy would act; the others are drawn at random. Panels show the
    likeliest first. ``log p`` is that of the exact token string in nats: it ranks futures and is no probability of a
    motion, since many strings stand for nearly the same one.

    Args:
        bundle: A bundle with tokenizer and forward dynamics, or the run that wrote it.
        image: A png, jpg or other image, or a video with --frame; one a camera, in the bundle's order.
        text: What should happen ("open the drawer").
        goal_image: What should be seen in the end, one image a camera, for models that are shown their goal.
        samples: Futures: the one to expect and so many less one random ones.
        temperature: Of the random futures; below 1 they stay closer to the likeliest one.
        seed: Of the random futures.
        out: A .png, or an .mp4 in which points travel.
        grid: Points along one side; as in training by default. Points between those of training are less exact: with 20
            instead of 10, one quick-start was 6.7 instead of 4.4 px off on moving points.
        fit: The models see a square: the middle of the image ("crop", what lies outside is drawn darker) or all of it
            ("pad", its edges repeated beside it).
        frame: Number of the frame of a video, from 0.
    """
    from amplify.draw.framing import Framing
    from amplify.draw.futures import FILM_FPS, Panel, draw_futures, draw_futures_video
    from amplify.draw.layout import png
    from amplify.errors import AmplifyError, UsageError
    from amplify.evaluate.futures import Foresight
    from amplify.train.recipes import bundle_of
    from amplify.video import read_image, write_video

    if out.suffix.lower() not in SUFFIXES:
        raise UsageError(f"cannot write {out}", got=f"suffix {out.suffix!r}", allowed=" or ".join(SUFFIXES))
    views = [read_image(path) if frame is None else _frame(path, frame) for path in image]
    goals = [read_image(path) for path in goal_image]
    framings = [Framing.of(view, fit) for view in views]
    foresight = Foresight(bundle_of(bundle))
    futures = foresight.futures(
        views, framings, text, goals=goals, samples=samples, temperature=temperature, seed=seed, grid=grid
    )
    known = foresight.knows(text)
    closest = () if known or not text.strip() else foresight.closest(text)
    if closest:
        logger.warning("%r was not asked for in training; the closest there: %s", text, ", ".join(map(repr, closest)))

    panels = [
        Panel(tracks=future.tracks, caption=_caption(place, future.log_likelihood, expected=future.expected))
        for place, future in enumerate(futures, start=1)
    ]
    heading = f"“{text.strip()}”" if text.strip() else "towards the goal image"
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        if out.suffix.lower() == ".png":
            out.write_bytes(png(draw_futures(views, framings, panels, heading=heading)))
        else:
            write_video(out, draw_futures_video(views, framings, panels, heading=heading), FILM_FPS, gop=FILM_FPS)
    except OSError as error:
        raise AmplifyError(f"cannot write {out}", got=error.strerror or error, remedy="choose another --out") from None
    return {
        "out": str(out),
        "instruction": text,
        "seen_in_training": known,
        "closest_instructions": list(closest),
        "fit": fit,
        "futures": {
            str(place): {
                "tokens": list(future.tokens),
                "log_likelihood": future.log_likelihood,
                "expected": future.expected,
                "moving_path_px": future.path_px,
                "moving_share": future.moving_share,
            }
            for place, future in enumerate(futures, start=1)
        },
    }


def _frame(path: Path, number: int) -> UInt8[np.ndarray, "h w 3"]:
    from amplify.errors import UsageError
    from amplify.video import count_frames, read_video

    count = count_frames(path)
    if number < 0 or 0 < count <= number:
        allowed = f"0 … {count - 1}" if count else "0, 1, …"
        raise UsageError(f"{path} has no such frame", got=number, allowed=allowed)
    return read_video(path, number, 1)[0]


def _caption(place: int, log_likelihood: float, *, expected: bool) -> str:
    return f"{place}   log p {log_likelihood:.1f}".replace("-", "−") + ("   expected" if expected else "")
