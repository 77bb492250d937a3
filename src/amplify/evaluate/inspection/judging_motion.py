"""From how points move to what that means for learning motion tokens."""

from collections.abc import Iterator

import numpy as np

from amplify.data.sidecar import folders
from amplify.evaluate.inspection.config import named
from amplify.evaluate.inspection.evidence import Evidence
from amplify.evaluate.inspection.finding import Finding, counted
from amplify.evaluate.inspection.motion import CAMERA_PX, MotionSums
from amplify.tokens.local_window import LocalWindow

BEYOND_SHARE = 0.05
"""With more of the moving steps beyond the window, tokens cannot say what happens."""
LITTLE_SHARE = 0.01
"""With fewer moving points there is next to nothing to learn."""
UNTRUSTED_SHARE = 0.4
"""With more of the moving points above a pixel of error, the tracker doubts itself."""


def judge_motion(evidence: Evidence) -> Iterator[Finding]:
    """What is wrong with the motion in a dataset, or worth knowing.

    Args:
        evidence: What was read.
    """
    root, horizon = evidence.contents.root, _horizon(evidence)
    if not folders(root, "tracks"):
        yield Finding(
            kind="no_tracks",
            severity="note",
            message="There are no tracks: motion was estimated from a few episodes."
            if evidence.motion
            else "There are no tracks, so motion was not measured.",
            remedy=f"run 'amplify track {root}'",
        )
    short = tuple(index for index, length in evidence.contents.lengths.items() if length < horizon)
    if short:
        yield Finding(
            kind="short_episode",
            severity="note",
            message=f"{counted(len(short), 'episode')} shorter than a window of {horizon} frames.",
            remedy="record longer ones, or track with a shorter --horizon",
            episodes=short,
        )
    for camera, sums in evidence.motion_by(0).items():
        if sums.points:
            yield from _camera(evidence, camera, sums)
    # A camera that stands by, as one on a wrist may, is no fault; nothing anywhere is.
    still = tuple(
        one.index for one in evidence.seen if one.motion and not any(s.moving_points for s in one.motion.values())
    )
    if still:
        yield Finding(
            kind="still_episode",
            severity="problem",
            message=f"Nothing moves in {len(still)} of {sum(bool(one.motion) for one in evidence.seen)} episodes.",
            remedy="leave them out: they teach that nothing follows from the instruction",
            episodes=still,
        )


def _camera(evidence: Evidence, camera: str, sums: MotionSums) -> Iterator[Finding]:
    windows = evidence.config.windows
    beyond = sums.beyond[0] / max(1, sums.moving_steps)
    if beyond > BEYOND_SHARE:
        yield Finding(
            kind="beyond_window",
            severity="problem",
            message=f"Camera {camera}: {100 * beyond:.1f} % of the moving steps lie beyond the window of "
            f"{named(windows[0])}; no token can say them.",
            remedy=_wider(sums, windows),
        )
    if sums.camera_moves:
        yield _moving_camera(camera, sums)
    if sums.moving_points < LITTLE_SHARE * sums.points:
        yield Finding(
            kind="little_motion",
            severity="problem",
            message=f"Camera {camera}: only {100 * sums.moving_points / sums.points:.2f} % of the points move.",
            remedy="crop the images to where things happen, record at a lower frame rate, or use another tracker",
        )
    trusted = sums.error_moving[1] / sums.error_moving_points if sums.error_moving_points else 1.0
    if 1 - trusted > UNTRUSTED_SHARE:
        yield Finding(
            kind="untrusted_tracks",
            severity="note",
            message=f"Camera {camera}: the tracker itself expects a pixel of error or more for "
            f"{100 * (1 - trusted):.0f} % of the moving points.",
            remedy="try a learned tracker, larger images, or a higher frame rate; such points weigh little in training",
        )


def _moving_camera(camera: str, sums: MotionSums) -> Finding:
    moving = sums.camera_px > CAMERA_PX
    said = f"Camera {camera} moves in {100 * moving.mean():.0f} % of the windows, then by "
    said += f"{float(np.median(sums.camera_px[moving])):.2g} px a frame"
    left = sums.still_beyond / sums.still_moving_steps if sums.still_moving_steps else 0.0
    if left <= sums.beyond[0] / max(1, sums.moving_steps):
        remedy = "train the tokenizer with --model.camera-motion removed"
        said += f"; with its motion taken out, {100 * left:.1f} % of the moving steps lie beyond the window."
    else:
        remedy = "another tracker may follow it; with these tracks, taking its motion out does not help"
        said += ", as far as these tracks tell."
    return Finding(kind="camera_moves", severity="note", message=said, remedy=remedy)


def _wider(sums: MotionSums, windows: tuple[LocalWindow, ...]) -> str:
    """The smallest of the other windows that can say nearly everything, or else the one that can say most."""
    shares = sums.beyond / max(1, sums.moving_steps)
    enough = [number for number in range(1, len(windows)) if shares[number] <= BEYOND_SHARE / 2]
    number = (
        min(enough, key=lambda i: (windows[i].side, windows[i].axis_px[-1].item()))
        if enough
        else int(np.argmin(shares))
    )
    window = windows[number]
    options = f"--model.window {window.side}"
    if window.reach_px is not None:
        options += f" --model.window-spacing log --model.window-reach-px {window.reach_px:g}"
    return f"train the tokenizer with {options} ({100 * shares[number]:.1f} % beyond), or record at a higher frame rate"


def _horizon(evidence: Evidence) -> int:
    state = next((state for state in evidence.sidecars if state.folder == evidence.tracks), None)
    header = state.header if state else None
    return int(header.settings["horizon"]) if header and "horizon" in header.settings else 16
