import pydantic
import pytest
import torch

from amplify.forward import ForwardConfig, ForwardDynamics


@pytest.mark.parametrize(
    ("preset", "millions"),
    [("paper", (58.5, 59.5)), ("small", (7, 9)), ("tiny", (0.1, 0.4)), ("quickstart", (0.9, 1.2))],
)
def test_presets_have_their_sizes(preset, millions):
    sizes = {"levels": (8, 8, 6, 5), "tokens": 15, "vision_width": 512, "patches": 49, "views": 2, "text_width": 512}
    with torch.device("meta"):
        model = ForwardDynamics(getattr(ForwardConfig, preset)(), **sizes)
    assert millions[0] < sum(p.numel() for p in model.parameters()) / 1e6 < millions[1]


def test_presets_take_changes():
    assert ForwardConfig.small(layers=2).layers == 2
    assert ForwardConfig.tiny(goal="image").goal == "image"
    assert ForwardConfig.paper() == ForwardConfig()


@pytest.mark.parametrize("wrong", [{"feature_norm": "batch"}, {"goal": "sound"}, {"classes": 0}, {"standardise": True}])
def test_unknown_settings_are_refused(wrong):
    with pytest.raises(pydantic.ValidationError):
        ForwardConfig(**wrong)
