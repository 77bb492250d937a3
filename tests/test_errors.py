import pickle

import pytest

from amplify import errors
from amplify.errors import AmplifyError, UnknownNameError, pick


def subclasses(cls):
    return [cls, *(s for child in cls.__subclasses__() for s in subclasses(child))]


@pytest.mark.parametrize("cls", [c for c in subclasses(AmplifyError) if c.__module__ == "amplify.errors"])
def test_pickling_keeps_everything(cls):
    error = cls("the sidecar is broken", got=3, allowed="4", remedy="make it again")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is cls
    assert str(copy) == str(error)
    assert (copy.what, copy.got, copy.allowed, copy.remedy) == ("the sidecar is broken", 3, "4", "make it again")


def test_message_lists_what_got_allowed_and_remedy():
    text = str(AmplifyError("no such camera", got="'top'", allowed="front, wrist", remedy="choose one"))
    assert text.splitlines() == [
        "no such camera",
        "  got:     'top'",
        "  allowed: front, wrist",
        "  do:      choose one",
    ]


def test_message_leaves_out_what_is_unknown():
    assert str(AmplifyError("it failed")) == "it failed"
    assert "got:     0" in str(AmplifyError("it failed", got=0))


def test_usage_errors_exit_with_two_and_others_with_one():
    assert errors.UsageError.exit_code == UnknownNameError.exit_code == 2
    assert errors.DataError.exit_code == errors.BundleError.exit_code == 1


def test_pick_finds():
    assert pick("flow", {"flow": 1, "ground-truth": 2}, kind="tracker") == 1


def test_pick_suggests_the_nearest_name():
    with pytest.raises(UnknownNameError) as caught:
        pick("flwo", {"flow": 1, "ground-truth": 2}, kind="tracker")
    assert "unknown tracker" in str(caught.value)
    assert caught.value.allowed == "flow, ground-truth"
    assert "'flow'" in caught.value.remedy
    assert "ground" not in caught.value.remedy


def test_pick_without_a_near_name_says_to_choose():
    with pytest.raises(UnknownNameError, match="choose one of the allowed trackers"):
        pick("zzz", {"flow": 1}, kind="tracker")


def test_pick_shortens_long_registries():
    with pytest.raises(UnknownNameError, match="50 in all") as caught:
        pick("zzz", {f"task-{i:02d}": i for i in range(50)}, kind="task")
    assert "task-30" not in str(caught.value)
