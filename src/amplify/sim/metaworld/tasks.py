"""The fifty tasks, each with the sentence that asks for it."""

import json
from functools import lru_cache
from importlib.resources import files

from amplify.errors import UnknownNameError, pick

INSTRUCTIONS: dict[str, str] = {
    "assembly": "put the ring of the wrench over the peg",
    "basketball": "throw the ball through the hoop",
    "bin-picking": "move the cube from the left bin to the right bin",
    "box-close": "put the lid on the box",
    "button-press": "press the button on the front of the box",
    "button-press-topdown": "press the button from above",
    "button-press-topdown-wall": "press the button behind the wall from above",
    "button-press-wall": "reach around the wall and press the button",
    "coffee-button": "press the button of the coffee machine",
    "coffee-pull": "pull the mug away from the coffee machine",
    "coffee-push": "push the mug under the coffee machine",
    "dial-turn": "turn the dial",
    "disassemble": "lift the ring of the wrench off the peg",
    "door-close": "close the door",
    "door-lock": "lock the door",
    "door-open": "open the door",
    "door-unlock": "unlock the door",
    "drawer-close": "close the drawer",
    "drawer-open": "open the drawer",
    "faucet-close": "turn the faucet clockwise",
    "faucet-open": "turn the faucet counter-clockwise",
    "hammer": "hit the nail with the hammer",
    "hand-insert": "put the hand into the hole",
    "handle-press": "press the handle down",
    "handle-press-side": "press the handle at the side down",
    "handle-pull": "pull the handle up",
    "handle-pull-side": "pull the handle at the side up",
    "lever-pull": "pull the lever up",
    "peg-insert-side": "insert the peg into the hole from the side",
    "peg-unplug-side": "pull the plug out of the hole",
    "pick-out-of-hole": "take the puck out of the hole",
    "pick-place": "pick up the puck and carry it to the goal",
    "pick-place-wall": "pick up the puck and carry it over the wall to the goal",
    "plate-slide": "slide the plate into the goal",
    "plate-slide-back": "slide the plate back out of the goal",
    "plate-slide-back-side": "slide the plate out of the goal to the side",
    "plate-slide-side": "slide the plate to the side into the goal",
    "push": "push the puck to the goal",
    "push-back": "pull the puck back to the goal",
    "push-wall": "push the puck around the wall to the goal",
    "reach": "move the hand to the goal",
    "reach-wall": "move the hand over the wall to the goal",
    "shelf-place": "put the block on the shelf",
    "soccer": "push the ball into the net",
    "stick-pull": "pull the thermos with the stick",
    "stick-push": "push the thermos with the stick",
    "sweep": "sweep the block off the table",
    "sweep-into": "sweep the block into the hole",
    "window-close": "close the window",
    "window-open": "open the window",
}
"""Short task name → instruction, in alphabetical order, which is the order of the task numbers 0…49."""


def task_name(task: str | int) -> str:
    """The short name of a task ("drawer-open").

    Args:
        task: The short name, Meta-World's own ("drawer-open-v3"), or a number 0…49 in alphabetical order.

    Raises:
        UnknownNameError: There is no such task.
    """
    text = str(task).strip()
    if text.isdecimal():
        names = list(INSTRUCTIONS)
        if int(text) >= len(names):
            raise UnknownNameError("unknown task number", got=text, allowed=f"0…{len(names) - 1}, or a task's name")
        return names[int(text)]
    short = text.removesuffix("-v3")
    pick(short, INSTRUCTIONS, kind="task")
    return short


def paraphrases(task: str | int) -> tuple[str, ...]:
    """Other sentences that ask for the same, six for each task of the studies and none for the rest.

    Raises:
        UnknownNameError: There is no such task.
    """
    return tuple(_wordings().get(task_name(task), {}).get("same", ()))


def wrong_instruction(task: str | int) -> str:
    """The sentence of another task: of the opposite one where there is one, otherwise of the next in the alphabet.

    Raises:
        UnknownNameError: There is no such task.
    """
    name, names = task_name(task), list(INSTRUCTIONS)
    following = names[(names.index(name) + 1) % len(names)]
    return _wordings().get(name, {}).get("wrong", INSTRUCTIONS[following])


@lru_cache(maxsize=1)
def _wordings() -> dict[str, dict]:
    return json.loads(files("amplify.sim.metaworld").joinpath("paraphrases.json").read_text())
