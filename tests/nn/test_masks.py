from amplify.nn.masks import MASKS, prefix_causal


def test_masks_by_hand():
    assert MASKS["causal"](3).int().tolist() == [[1, 0, 0], [1, 1, 0], [1, 1, 1]]
    assert MASKS["per-step"](2).int().tolist() == [[1, 0], [0, 1]]
    assert MASKS["full"](2).all()


def test_the_prefix_is_open_and_never_sees_the_string():
    assert prefix_causal(2, 2).int().tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]]
