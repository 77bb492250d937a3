import json

import numpy as np
import pytest
import torch
from tests.reference.folder import (
    ACTIONS,
    FOLDER,
    HORIZON,
    INVERSE,
    PATCHES,
    PROPRIO,
    STAGES,
    STEPS,
    TEXT,
    TOKENIZER,
    VIEWS,
    VISION,
    inverse_weights,
    other_sizes,
    save_stage,
)
from torch import Tensor
from torch.nn.functional import cross_entropy, gelu, layer_norm, linear, scaled_dot_product_attention

from amplify.cli import run
from amplify.errors import BundleError
from amplify.policy import AmplifyPolicy, load_bundle
from amplify.policy.info import info_of
from amplify.reference.importer import convert, import_reference
from amplify.reference.reading import collect, load_checkpoint
from amplify.types import Features, MotionTokens, Observation


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Files of other sizes, one a stage, names wrapped."""
    root = tmp_path_factory.mktemp("made")
    stages = other_sizes()
    return [
        save_stage(root / f"{kind}.pt", *stages[kind], prefix="module.") for kind in ("inverse", "tokenizer", "forward")
    ]


def same_weights(one, other) -> bool:
    states = one.state_dict(), other.state_dict()
    return states[0].keys() == states[1].keys() and all(torch.equal(states[0][k], states[1][k]) for k in states[0])


class Given:
    """An encoder that gives what it was given."""

    name = "given"

    def __init__(self, given):
        self.given = given
        self.patches = self.tokens = given.shape[-2]
        self.width = given.shape[-1]

    def encode(self, what):
        return self.given


def test_bundle_and_stages_become_the_same_bundle(tmp_path):
    summary = import_reference([FOLDER / "official_small.pt"], tmp_path / "a")
    import_reference([FOLDER / name for name in reversed(STAGES)], tmp_path / "b")
    a, b = load_bundle(tmp_path / "a"), load_bundle(tmp_path / "b")
    assert set(summary["models"]) == set(a.models) == {"tokenizer", "forward", "inverse"}
    assert all(same_weights(a.models[name], b.models[name]) for name in a.models)
    info = info_of(a)
    assert (info.cameras, info.grid, info.horizon, info.frame_size_px) == (("agentview", "eye_in_hand"), 5, 16, 128)
    assert len(info.action_names) == 7
    assert any("no image encoder" in note for note in summary["notes"])


def test_the_imported_policy_acts_as_the_reference_did(tmp_path):
    import_reference([FOLDER / "official_small.pt"], tmp_path / "bundle")
    models = load_bundle(tmp_path / "bundle").models
    stored = {
        k: torch.from_numpy(v) for k, v in np.load(FOLDER / "official_small_io.npz").items() if v.dtype.kind == "f"
    }
    policy = AmplifyPolicy(
        forward=models["forward"],
        tokenizer=models["tokenizer"],
        inverse=models["inverse"],
        vision=Given(stored["img_tokens_fd"].unflatten(1, (2, 49))),
        text=Given(stored["text_emb"][:, None]),
    )
    observation = Observation(
        images=torch.zeros(2, 2, 8, 8, 3, dtype=torch.uint8),
        cameras=("agentview", "eye_in_hand"),
        proprio=stored["proprio"],
        instruction=("one", "other"),
    )
    actions = policy.plan(observation).actions.actions
    torch.testing.assert_close(actions, stored["actions_end_to_end"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("head", ["", "_diffusion", "_flow"])
def test_every_head_is_imported(tmp_path, head):
    import_reference([FOLDER / f"stage_inverse_dynamics{head}.pt", *(FOLDER / s for s in STAGES[:2])], tmp_path / "b")
    config = load_bundle(tmp_path / "b").models["inverse"].config
    assert config.head == (head.removeprefix("_") or "gaussian")
    assert {"": 0.1, "_diffusion": 20, "_flow": 10}[head] in (config.std, config.diffusion_steps, config.sampling_steps)


def test_a_flow_head_with_two_different_copies_is_refused(tmp_path):
    content = load_checkpoint(FOLDER / "stage_inverse_dynamics_flow.pt")
    name = "head.policy.solver.velocity_model.model.proj_in.bias"
    content["model"][name] = content["model"][name] + 1
    torch.save(content, tmp_path / "flow.pt")
    with pytest.raises(BundleError, match=f"copies differ: {name}"):
        import_reference([tmp_path / "flow.pt", FOLDER / STAGES[0]], tmp_path / "bundle")


def test_fewer_stages_make_a_smaller_bundle(tmp_path):
    import_reference([FOLDER / STAGES[1]], tmp_path / "forward")
    alone = load_bundle(tmp_path / "forward").models
    whole = convert(collect([FOLDER / "official_small.pt"]))
    assert set(alone) == {"forward"}
    assert alone["forward"].dimensions == whole.forward.module.dimensions
    assert same_weights(alone["forward"], whole.forward.module)
    with pytest.raises(BundleError, match="does not say what its codes are"):
        import_reference([FOLDER / STAGES[2]], tmp_path / "inverse")


def test_other_sizes_are_read_from_the_files(made, tmp_path):
    import_reference(made, tmp_path / "bundle")
    models = load_bundle(tmp_path / "bundle").models
    config = models["tokenizer"].config
    assert (config.views, config.points, config.steps, config.levels, config.window) == (VIEWS, 9, STEPS, (8, 8), 7)
    assert (config.encoder_layers, config.decoder_layers, config.encoder_mask) == (4, 2, "full")
    assert models["forward"].dimensions["patches"] == PATCHES
    assert models["forward"].config.layers == 3
    inverse = models["inverse"]
    assert inverse.dimensions["action_width"] == ACTIONS
    assert (inverse.config.action_horizon, inverse.config.std) == (HORIZON, 0.2)


def plain_forward(w: dict[str, Tensor], vision: Tensor, text: Tensor, tokens: Tensor, heads: int) -> Tensor:
    """The reference's forward model as its paper says it: one full pass over [image, text, start, codes]."""
    levels = torch.tensor([8, 8])
    codes = (tokens[:, :-1, None] // torch.tensor([1, 8]) % levels - 4) / 4
    embedded = linear(codes, w["quantize.project_out.weight"], w["quantize.project_out.bias"])
    image = linear(vision.flatten(1, 2), w["img_proj.weight"], w["img_proj.bias"])
    said = linear(text, w["text_proj.weight"], w["text_proj.bias"])
    start = w["sos_token"].expand(len(vision), 1, -1)
    x = torch.cat((image, said, start, embedded), dim=1) + w["trunk.transformer.pos_emb.weight"]
    open_tokens, length, width = image.shape[1] + 1, x.shape[1], x.shape[2]
    mask = torch.ones(length, length).tril().bool()
    mask[:, :open_tokens] = True
    for i in range(3):
        block = f"trunk.transformer.h.{i}."
        normal = layer_norm(x, (width,), w[f"{block}ln_1.weight"])
        q, k, v = (
            part.unflatten(-1, (heads, -1)).transpose(1, 2)
            for part in linear(normal, w[f"{block}attn.c_attn.weight"]).split(width, dim=-1)
        )
        y = scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).flatten(2)
        x = x + linear(y, w[f"{block}attn.c_proj.weight"])
        normal = layer_norm(x, (width,), w[f"{block}ln_2.weight"])
        x = x + linear(gelu(linear(normal, w[f"{block}mlp.c_fc.weight"])), w[f"{block}mlp.c_proj.weight"])
    x = layer_norm(x, (width,), w["trunk.transformer.ln_f.weight"])[:, open_tokens:]
    return linear(x, w["unembed.weight"], w["unembed.bias"])


def test_a_forward_model_of_another_size_computes_what_its_plain_form_does(made):
    part = collect(made)["forward"]
    forward = convert(collect(made)).forward.module
    generator = torch.Generator().manual_seed(3)
    vision = torch.randn(2, VIEWS, PATCHES, VISION, generator=generator)
    text = torch.randn(2, 1, TEXT, generator=generator)
    tokens = torch.randint(64, (2, STEPS), generator=generator)
    expected = plain_forward(dict(part.weights), vision, text, tokens, heads=2)
    scores = forward.logits(Features(vision=vision, text=text), MotionTokens(indices=tokens))
    torch.testing.assert_close(scores, expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))
    loss, _ = forward.loss(Features(vision=vision, text=text), MotionTokens(indices=tokens))
    torch.testing.assert_close(loss, cross_entropy(expected.flatten(0, 1), tokens.flatten()), rtol=1e-5, atol=0)


def test_everything_that_is_wrong_is_listed_at_once(tmp_path):
    stages = other_sizes()
    forward = stages["forward"][1]
    del forward["trunk.transformer.h.1.mlp.c_fc.weight"], forward["sos_token"]
    forward["img_proj.bias"] = forward["img_proj.bias"][:-1]
    stages["tokenizer"][1]["decoder.extra"] = torch.ones(2)
    files = [save_stage(tmp_path / f"{kind}.pt", *stages[kind]) for kind in ("tokenizer", "forward")]
    with pytest.raises(BundleError) as caught:
        import_reference(files, tmp_path / "bundle")
    said = str(caught.value)
    assert "4 tensors" in said
    assert "forward: trunk.transformer.h.1.mlp.c_fc.weight is missing (forward.pt)" in said
    assert "forward: sos_token is missing" in said
    assert "forward: img_proj.bias has shape (23,) instead of (24,)" in said
    assert "tokenizer: decoder.extra is not known" in said
    assert not (tmp_path / "bundle").exists()


def test_a_bundled_checkpoint_without_a_model_is_partial(tmp_path):
    content = load_checkpoint(FOLDER / "official_small.pt")
    content["model"] = {k: v for k, v in content["model"].items() if not k.startswith("forward_dynamics")}
    torch.save(content, tmp_path / "partial.pt")
    with pytest.raises(BundleError, match=r"forward: sos_token is missing \(partial\.pt\)"):
        import_reference([tmp_path / "partial.pt"], tmp_path / "bundle")


@pytest.mark.parametrize(
    ("kind", "changes", "said"),
    [
        ("tokenizer", {"cond_on_img": True}, "sees the image"),
        ("tokenizer", {"img_shape": [64, 96]}, "no one square"),
        ("tokenizer", {"codebook_size": 32}, "no FSQ levels"),
        ("tokenizer", {"hidden_dim": 25}, "not divisible"),
        ("tokenizer", {"num_heads": None}, "num_heads"),
        ("inverse", {"cond_on_text": True}, "hears the instruction"),
        ("inverse", {"cond_on_proprio": False}, "does not feel the robot"),
        ("inverse", {"action_squash": False}, "not squashed"),
        ("inverse", {"type": "gausian"}, "did you mean"),
        ("inverse", {"num_layers": 2}, "h.1.ln_1.weight is missing"),
    ],
)
def test_what_has_no_counterpart_is_refused(tmp_path, kind, changes, said):
    stages = other_sizes()
    files = []
    for name in ("tokenizer", "forward", "inverse"):
        settings, weights = stages[name]
        files.append(save_stage(tmp_path / f"{name}.pt", settings | (changes if name == kind else {}), weights))
    with pytest.raises(Exception, match=said):
        import_reference(files, tmp_path / "bundle")


def test_learned_deviation_and_scale_keep_their_values(tmp_path):
    stages = other_sizes()
    weights = inverse_weights("gaussian") | {
        "head.std": torch.tensor(0.3),
        "head.action_squash_scale": torch.tensor(2.0),
    }
    settings = {**INVERSE, "std": "learned", "action_squash_scale": "learned"}
    files = [
        save_stage(tmp_path / "tokenizer.pt", *stages["tokenizer"]),
        save_stage(tmp_path / "i.pt", settings, weights),
    ]
    inverse = convert(collect(files)).inverse.module
    proprio, codes = torch.zeros(1, PROPRIO), torch.zeros(1, STEPS, 2)
    features = Features(vision=torch.randn(1, VIEWS, PATCHES, VISION), text=torch.zeros(1, 1, TEXT))
    mean, std = inverse.decoder.head.distribution(inverse.decoder.context(features.vision, proprio, codes))
    torch.testing.assert_close(std, torch.full_like(std, 0.15))
    torch.testing.assert_close(inverse.act(features, proprio, codes).actions, 2 * mean)


def test_one_string_of_tokens_a_view_is_imported(tmp_path):
    from tests.reference.folder import part, random_weights

    from amplify.reference.tokenizer import tokenizer_config, tokenizer_shapes

    settings = {**TOKENIZER, "per_view": True}
    config = tokenizer_config(part("tokenizer", settings))
    weights = random_weights(tokenizer_shapes(config), 0)
    tokenizer = convert({"tokenizer": part("tokenizer", settings, weights)}).tokenizer.module
    assert weights["encoder.encoder_proj.weight"].shape == (24, 18)
    assert tokenizer.tokens == VIEWS * STEPS


def test_the_command_says_what_it_imported(tmp_path, capsys):
    arguments = ["import", "reference", str(FOLDER / "official_small.pt"), "--out", str(tmp_path / "bundle"), "--json"]
    assert run(arguments) == 0
    assert set(json.loads(capsys.readouterr().out)["models"]) == {"tokenizer", "forward", "inverse"}
