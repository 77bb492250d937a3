import pytest

from amplify.cli.numbers import names_or_numbers, numbers
from amplify.errors import UsageError


def test_numbers_and_ranges_are_spelled_out_in_order_without_repeats():
    assert numbers(["7", "0-3,2", "10 - 11"], option="--n") == (7, 0, 1, 2, 3, 10, 11)


def test_nothing_is_no_numbers():
    assert numbers([], option="--n") == numbers([" , "], option="--n") == ()


@pytest.mark.parametrize("text", ["five", "3-1", "-2", "1.5", "0-999999999", "1-2-3"])
def test_anything_else_is_named(text):
    with pytest.raises(UsageError, match="--initial-states") as error:
        numbers([text], option="--initial-states")
    assert error.value.got == text


def test_names_stay_as_they_are():
    mixed = ["KITCHEN_SCENE1_open", "2-4", "7"]
    assert names_or_numbers(mixed, option="--tasks") == ("KITCHEN_SCENE1_open", "2", "3", "4", "7")
