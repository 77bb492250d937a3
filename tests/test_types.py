from dataclasses import replace

import pytest
import torch

from amplify.types import ActionChunk, Features, MotionTokens, Sample, TrackWindow, collate


def window(value: float = 0.0, error: bool = True) -> TrackWindow:
    return TrackWindow(
        points=torch.full((1, 3, 2, 2), value),
        visible=torch.ones(1, 3, 2, dtype=torch.bool),
        valid=torch.ones(1, 3, dtype=torch.bool),
        error_px=torch.zeros(1, 3, 2) if error else None,
    )


def sample(value: float = 0.0) -> Sample:
    return Sample(
        features=Features(vision=torch.full((1, 4, 8), value), text=torch.zeros(1, 6)),
        tracks=window(value),
        proprio=torch.full((4,), value),
        actions=ActionChunk(actions=torch.zeros(5, 3), valid=torch.ones(5, dtype=torch.bool)),
    )


def test_velocities_are_steps_of_the_points():
    points = torch.tensor([[0.0, 0.0], [0.5, 0.25], [0.25, 0.25]]).reshape(1, 3, 1, 2)
    w = TrackWindow(
        points=points, visible=torch.ones(1, 3, 1, dtype=torch.bool), valid=torch.ones(1, 3, dtype=torch.bool)
    )
    assert w.velocities[0, :, 0].tolist() == [[0.5, 0.25], [-0.25, 0.0]]


def test_map_reaches_nested_tensors_and_keeps_none():
    doubled = sample(1.0).map(lambda t: t * 2 if t.is_floating_point() else t)
    assert doubled.tracks.points.eq(2).all()
    assert doubled.features.vision.eq(2).all()
    assert doubled.tokens is None


def test_map_leaves_the_original_alone():
    original = sample(1.0)
    original.map(torch.zeros_like)
    assert original.tracks.points.eq(1).all()


def test_to_moves_every_tensor():
    moved = sample().to("meta")
    assert (
        moved.tracks.points.device.type == moved.actions.valid.device.type == moved.features.text.device.type == "meta"
    )


def test_collate_stacks_nested_tensors_in_order():
    batch = collate([sample(0.0), sample(1.0), sample(2.0)])
    assert batch.tracks.points.shape == (3, 1, 3, 2, 2)
    assert batch.tracks.points[:, 0, 0, 0, 0].tolist() == [0, 1, 2]
    assert batch.features.vision.shape == (3, 1, 4, 8)
    assert batch.actions.valid.shape == (3, 5)
    assert batch.tokens is None


@pytest.mark.parametrize("order", [1, -1])
def test_collate_refuses_to_mix_items_with_and_without_a_field(order):
    items = [sample(), replace(sample(), actions=None)][::order]
    with pytest.raises(ValueError, match="actions"):
        collate(items)


def test_collate_refuses_to_mix_nested_fields():
    with pytest.raises(ValueError, match="error_px"):
        collate([window(), window(error=False)])


def test_nouns_are_frozen():
    with pytest.raises(AttributeError):
        MotionTokens(indices=torch.zeros(2, dtype=torch.long)).indices = torch.ones(2, dtype=torch.long)
