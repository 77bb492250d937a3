import pytest

from amplify.errors import UnknownNameError
from amplify.sim.metaworld.tasks import INSTRUCTIONS, paraphrases, task_name, wrong_instruction


def test_the_table_holds_exactly_metaworlds_fifty_tasks_in_order():
    from metaworld.env_dict import ALL_V3_ENVIRONMENTS

    assert {f"{name}-v3" for name in INSTRUCTIONS} == set(ALL_V3_ENVIRONMENTS)
    assert list(INSTRUCTIONS) == sorted(INSTRUCTIONS)
    assert len(set(INSTRUCTIONS.values())) == 50, "each task needs a sentence of its own"


@pytest.mark.parametrize(
    ("given", "expected"),
    [("drawer-open", "drawer-open"), ("drawer-open-v3", "drawer-open"), (0, "assembly"), ("49", "window-open")],
)
def test_tasks_by_name_and_number(given, expected):
    assert task_name(given) == expected


def test_unknown_tasks_are_suggested():
    with pytest.raises(UnknownNameError, match="did you mean 'drawer-open'"):
        task_name("drawer-opne")
    with pytest.raises(UnknownNameError, match=r"0…49"):
        task_name(50)


def test_paraphrases_ask_for_the_same_in_other_words():
    from amplify.experiments.lab import PAIRS
    from amplify.experiments.quickstart.config import SIX_TASKS
    from amplify.experiments.tracks import OTHER_TASKS

    used = {*PAIRS, *SIX_TASKS, *OTHER_TASKS}
    said = [sentence for task in used for sentence in paraphrases(task)]
    assert all(len(paraphrases(task)) >= 5 for task in used)
    assert len(set(said)) == len(said)
    assert not set(said) & set(INSTRUCTIONS.values())
    assert paraphrases("lever-pull") == ()
    with pytest.raises(UnknownNameError):
        paraphrases("lever-bend")


def test_wrong_instructions_are_those_of_other_tasks():
    for task, own in INSTRUCTIONS.items():
        assert wrong_instruction(task) in set(INSTRUCTIONS.values()) - {own}
    assert wrong_instruction("door-open") == INSTRUCTIONS["door-close"]
