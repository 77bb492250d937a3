import pytest

from amplify.errors import UsageError
from amplify.evaluate.rollout import RolloutConfig, RolloutResult
from amplify.evaluate.wording import OWN, PARAPHRASES, WRONG, by_wording, wordings

CONFIG = RolloutConfig(tasks=("drawer-open", "window-close"), rollouts=3, films=1)


def test_three_wordings_of_the_same_rollouts():
    told = wordings(CONFIG, ["Open the drawer."])
    assert told[OWN] == CONFIG
    same = [sentence for task, sentence in told[PARAPHRASES].instructions if task == "drawer-open"]
    assert len(same) >= 5
    assert dict(told[WRONG].instructions) == {"drawer-open": "close the drawer", "window-close": "open the window"}
    assert all(config.seed == CONFIG.seed and config.tasks == CONFIG.tasks for config in told.values())


def test_what_was_trained_on_is_no_unseen_paraphrase():
    def unseen(*known):
        return [s for t, s in wordings(CONFIG, known)[PARAPHRASES].instructions if t == "drawer-open"]

    sentences = unseen()
    assert unseen(sentences[0].upper() + ".") == sentences[1:]
    with pytest.raises(UsageError, match=r"no unseen paraphrase(.|\n)*open the drawer"):
        wordings(CONFIG, sentences)
    with pytest.raises(UsageError, match="lever-pull"):
        wordings(CONFIG.model_copy(update={"tasks": ("lever-pull",)}), [])


def test_figures_by_wording():
    hits = {OWN: (1, 1, 0), PARAPHRASES: (1, 0, 0), WRONG: (0, 0, 0)}
    results = [
        RolloutResult(wording, 0, task, index, index, bool(hit), 9)
        for wording, row in hits.items()
        for task in CONFIG.tasks
        for index, hit in enumerate(row)
    ]
    figures = by_wording(results, wordings(CONFIG, []), seed=0)
    assert {name: row["mean"] for name, row in figures["success"].items()} == pytest.approx(
        {OWN: 2 / 3, PARAPHRASES: 1 / 3, WRONG: 0}
    )
    mean, low, high = figures["difference_to_own"][PARAPHRASES]
    assert mean == pytest.approx(-1 / 3)
    assert low <= mean <= high
    assert figures["sentences"][WRONG]["drawer-open"] == ["close the drawer"]
    assert len(figures["sentences"][PARAPHRASES]["window-close"]) >= 5
