"""1. Your own videos: they teach motion without a single action; a few demonstrations teach a robot to make it happen.

    python examples/01_own_videos.py --videos ~/kitchen --demos ~/robot/demos --out runs/mine
    python examples/01_own_videos.py --smoke --out runs/smoke    # a minute or two, on films of a simulated arm

Videos are files of any codec, rate and size; what their names spell is the instruction ("open_the_drawer_07.mp4").
Demonstrations are a LeRobot dataset with actions. It can be interrupted: the same command goes on.
"""

import argparse
import shutil
import sys
from pathlib import Path

from amplify.cli import run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=Path, help="a folder of videos")
    parser.add_argument("--demos", type=Path, help="a LeRobot dataset with actions")
    parser.add_argument("--out", type=Path, default=Path("runs/mine"))
    parser.add_argument("--smoke", action="store_true", help="a small run, on films that it makes itself")
    given = parser.parse_args()
    out = given.out
    if given.smoke:
        given.videos, given.demos = films_of_an_arm(out / "made")
    elif given.videos is None or given.demos is None:
        parser.error("name --videos and --demos, or try --smoke")

    # 1. Videos of any kind become a dataset without actions. The demonstrations are read where they are.
    amplify("import", "videos", given.videos, "--out", out / "videos", "--size", 128, "--fps", 10)

    # 2. What is in them? Motion of 1 to 7 pixels a step is right; the page says what else would go wrong.
    amplify("inspect", out / "videos", "--out", out / "videos.html")

    # 3. Points are followed, motion tokens and forward dynamics learned from the videos (those of the demonstrations as
    #    well: forward dynamics has to know the robot's own scene), inverse dynamics from the actions.
    sources = ["--videos", out / "videos", given.demos, "--actions", given.demos]
    amplify("quickstart", *sources, "--out", out / "run", "--preset", "smoke" if given.smoke else "full")

    # 4. Where will the points go? Three futures of one frame.
    first = sorted((out / "videos").glob("videos/*/chunk-000/*.mp4"))[0]
    say = "reach the red disc" if given.smoke else "open the drawer"
    picture = out / "motion.png"
    amplify("predict", out / "run", first, "--frame", 2, "--text", say, "--samples", 3, "--out", picture)
    print(f"\nreport: {out / 'run' / 'report.html'}\nfutures: {picture}\npolicy: {out / 'run' / 'bundle'}")


def films_of_an_arm(folder: Path) -> tuple[Path, Path]:
    """A folder of films and a dataset of demonstrations of the simulated arm."""
    demos = folder / "demos"
    if not (demos / "meta" / "info.json").is_file():
        amplify("run-robot", "scripted", "--robot", "arm", "--rate", 10, "--episodes", 4, "--record", demos)
    films = folder / "films"
    films.mkdir(exist_ok=True)
    for number, film in enumerate(sorted(demos.glob("videos/*/chunk-000/*.mp4"))):
        shutil.copy(film, films / f"reach_the_red_disc_{number}.mp4")
    return films, demos


def amplify(*words: object) -> None:
    """A command of the command line."""
    arguments = [str(word) for word in words]
    print("\n$ amplify", *arguments, flush=True)
    if code := run(arguments):
        sys.exit(code)


if __name__ == "__main__":
    main()
