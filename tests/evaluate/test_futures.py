import numpy as np
import pytest
import torch

from amplify.draw.framing import Framing
from amplify.errors import BundleError, UsageError
from amplify.evaluate import loading
from amplify.evaluate.futures import Foresight
from amplify.forward import ForwardConfig, ForwardDynamics
from amplify.policy.bundle import save_bundle
from amplify.policy.info import BundleInfo, EncoderInfo
from amplify.tokens import MotionTokenizer, TokenizerConfig

SMALL = {"width": 16, "heads": 2}
PATCHES, TEXT_WIDTH = 4, 3


class Quarters:
    """Grey levels of an image's quarters."""

    name, patches, width, settings = "quarters", PATCHES, 2, {"scale": 255}

    def __init__(self, settings=None):
        self.seen = []

    def encode(self, images):
        self.seen.append(images)
        h, w = images.shape[-3] // 2, images.shape[-2] // 2
        x = images.float().mean(-1) / 255
        quarters = [x[..., i * h : (i + 1) * h, j * w : (j + 1) * w].mean((-2, -1)) for i in (0, 1) for j in (0, 1)]
        return torch.stack([torch.stack(quarters, -1), 1 - torch.stack(quarters, -1)], -1)


class Letters:
    """Letters counted."""

    name, tokens, width, settings = "letters", 1, TEXT_WIDTH, {"letters": "oes"}

    def encode(self, sentences):
        return torch.tensor([[[float(s.count(c)) for c in "oes"]] for s in sentences])


@pytest.fixture(autouse=True)
def encoders(monkeypatch):
    monkeypatch.setattr(loading, "VISION_ENCODERS", {"quarters": Quarters})
    monkeypatch.setattr(loading, "TEXT_ENCODERS", {"letters": Letters})


@pytest.fixture
def bundle(tmp_path):
    def make(views=1, goal="text", **changes):
        torch.manual_seed(0)
        tokenizer = MotionTokenizer(
            TokenizerConfig.quickstart(points=9, views=views, decoder_hidden=8, levels=(5, 4), centre_bias=0, **SMALL)
        )
        forward = ForwardDynamics(
            ForwardConfig.quickstart(layers=1, goal=goal, **SMALL),
            levels=(5, 4),
            tokens=15,
            vision_width=2,
            patches=PATCHES,
            views=views,
            text_width=TEXT_WIDTH,
        )
        with torch.no_grad():
            tokenizer.decoder.classifier.weight.mul_(30)
            forward.classifier.weight.mul_(5)
        info = BundleInfo(
            vision_encoder=EncoderInfo(name="quarters", settings=Quarters.settings),
            text_encoder=EncoderInfo(name="letters"),
            cameras=("front", "side")[:views],
            frame_size_px=32,
            grid=3,
            instructions=("open", "close", "see"),
        )
        models = changes.pop("models", {"tokenizer": tokenizer, "forward": forward})
        save_bundle(tmp_path / "bundle", models, info.model_copy(update=changes).meta)
        return tmp_path / "bundle"

    return make


def picture(height=40, width=60, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def futures(bundle, *images, text="open", fit="crop", **settings):
    images = images or (picture(),)
    return Foresight(bundle).futures(images, [Framing.of(i, fit) for i in images], text, **settings)


def test_one_future(bundle):
    (only,) = futures(bundle())
    assert only.expected
    assert len(only.tokens) == 15
    assert only.log_likelihood < 0
    assert [tuple(t.shape) for t in only.tracks] == [(16, 9, 2)]
    assert 0 < only.moving_share <= 1
    assert only.path_px > 1


def test_figures_are_those_of_the_tracks(bundle):
    (only,) = futures(bundle())
    paths = (only.tracks[0].diff(dim=0) * 64).norm(dim=-1).sum(dim=0)
    assert only.moving_share == pytest.approx((paths > 1).float().mean().item())
    assert only.path_px == pytest.approx(paths[paths > 1].mean().item(), rel=1e-4)


def test_several_futures_likeliest_first(bundle):
    path = bundle()
    several = futures(path, samples=6)
    values = [future.log_likelihood for future in several]
    assert values == sorted(values, reverse=True)
    assert sum(future.expected for future in several) == 1
    assert len({future.tokens for future in several}) > 2
    assert [f.tokens for f in futures(path, samples=6)] == [f.tokens for f in several]
    assert {f.tokens for f in futures(path, samples=6, seed=1)} != {f.tokens for f in several}
    assert len({f.tokens for f in futures(path, samples=6, temperature=1e-4) if not f.expected}) == 1


def test_image_and_instruction_matter(bundle):
    path = bundle()
    (a,), (b,), (c,) = futures(path), futures(path, text="see the sea"), futures(path, picture(seed=3) // 4)
    assert a.log_likelihood != b.log_likelihood
    assert a.log_likelihood != c.log_likelihood


def test_the_models_see_the_square_at_their_own_size(bundle):
    foresight = Foresight(bundle())
    image = picture(64, 96)
    foresight.futures([image], [Framing.of(image)], "open")
    (seen,) = foresight.vision.seen
    assert seen.shape == (32, 32, 3)
    assert seen.float().mean().item() == pytest.approx(image[:, 16:80].mean(), abs=1)


def test_points_beside_a_padded_image_are_left_out(bundle):
    (only,) = futures(bundle(), picture(20, 60), fit="pad")
    assert only.tracks[0].shape[1] == 3
    assert (only.tracks[0][0, :, 1] == 0).all()


def test_grid(bundle):
    (only,) = futures(bundle(), grid=5)
    assert only.tracks[0].shape[1] == 25
    with pytest.raises(UsageError, match="grid"):
        futures(bundle(), grid=0)


def test_two_cameras(bundle):
    path = bundle(views=2)
    (both,) = futures(path, picture(), picture(90, 50))
    assert [t.shape[1] for t in both.tracks] == [9, 9]
    with pytest.raises(UsageError, match="image a camera") as error:
        futures(path, picture())
    assert "front, side" in str(error.value)


@pytest.mark.parametrize("wrong", [{"text": "  "}, {"samples": 0}, {"temperature": 0.0}])
def test_nonsense_is_refused(bundle, wrong):
    with pytest.raises(UsageError):
        futures(bundle(), **wrong)


def test_goal_images(bundle):
    path = bundle(goal="both")
    one, other = picture(seed=5) // 3, picture(90, 50, seed=6)
    (a,), (b,) = futures(path, goals=[one]), futures(path, goals=[other])
    assert a.log_likelihood != b.log_likelihood
    assert a.log_likelihood == futures(path, goals=[one])[0].log_likelihood
    assert a.log_likelihood != futures(path, goals=[one], text="see")[0].log_likelihood
    alone = bundle(goal="image")
    (c,) = futures(alone, goals=[one], text="")
    assert c.log_likelihood == futures(alone, goals=[one], text="see")[0].log_likelihood


def test_goals_that_do_not_fit_the_models(bundle):
    with pytest.raises(UsageError, match="leave out --goal-image"):
        futures(bundle(), goals=[picture()])
    with pytest.raises(UsageError, match=r"shown their goal(.|\n)*0 goal images"):
        futures(bundle(goal="image"))
    with pytest.raises(UsageError, match="one a camera"):
        futures(bundle(views=2, goal="both"), picture(), picture(), goals=[picture()])
    with pytest.raises(UsageError, match="instruction is empty"):
        futures(bundle(goal="both"), goals=[picture()], text=" ")


def test_instructions_of_training(bundle):
    foresight = Foresight(bundle())
    assert foresight.knows(" Open. ")
    assert not foresight.knows("opens")
    assert foresight.closest("seee")[0] == "see"
    assert len(foresight.closest("oo", count=2)) == 2
    assert Foresight(bundle(instructions=())).closest("open") == ()


def test_bundles_that_foresee_nothing(bundle):
    tokenizer = MotionTokenizer(TokenizerConfig.quickstart(points=9, decoder_hidden=8, levels=(5, 4), **SMALL))
    with pytest.raises(BundleError, match="forward dynamics"):
        Foresight(bundle(models={"tokenizer": tokenizer}))
    with pytest.raises(BundleError, match="names no encoders"):
        Foresight(bundle(vision_encoder=None))
