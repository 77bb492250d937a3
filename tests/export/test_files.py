import json

import numpy as np
import pytest
import torch
from tests.export.bundles import tiny

from amplify.errors import AmplifyError, BundleError
from amplify.export import files
from amplify.export.files import export_onnx, export_torch
from amplify.export.graph import deviation
from amplify.types import Features


def test_programs_compute_what_the_bundle_does(tmp_path):
    bundle = tiny(tmp_path / "bundle", head="flow", forward={"goal": "both"})
    report = export_torch(bundle, tmp_path / "out", batch=2, tolerance=1e-5)
    assert set(report["functions"]) == {"vision_encoder", "control_step"}
    assert report["largest_deviation"] <= 1e-5
    step = torch.export.load(tmp_path / "out" / "control_step.pt2").module()
    described = json.loads((tmp_path / "out" / "export.json").read_text())["functions"]["control_step"]
    assert list(described["inputs"]) == ["vision", "goal", "text", "proprio"]
    assert described["inputs"]["vision"].startswith("float32 [2, 2, ")
    eyes = torch.export.load(tmp_path / "out" / "vision_encoder.pt2").module()
    images = torch.randint(256, (2, 2, 48, 48, 3), dtype=torch.uint8)
    with torch.no_grad():
        vision = eyes(images)[0]
        text, proprio = torch.randn(2, 1, 512), torch.randn(2, 9)
        actions, tokens = step(vision, vision, text, proprio)
    models = bundle.models
    features = Features(vision=models["vision_encoder"](images), text=text, goal=vision)
    assert torch.equal(tokens, models["forward"].plan(features).indices)
    assert actions.shape == (2, 16, 7)


def test_onnx_files_decode_as_the_bundle_does(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    bundle = tiny(tmp_path / "bundle")
    report = export_onnx(bundle, tmp_path / "out", batch=1, tolerance=1e-4)
    assert set(report["functions"]) == {"forward_scores", "forward_start", "forward_step", "inverse"}
    sessions = {name: onnxruntime.InferenceSession(tmp_path / "out" / f"{name}.onnx") for name in report["functions"]}
    sizes, rows = bundle.models["forward"].dimensions, np.random.default_rng(0)
    vision = rows.normal(size=(1, sizes["views"], sizes["patches"], sizes["vision_width"])).astype(np.float32)
    text = rows.normal(size=(1, 1, sizes["text_width"])).astype(np.float32)
    proprio = rows.normal(size=(1, 9)).astype(np.float32)
    (cache,) = sessions["forward_start"].run(None, {"vision": vision, "text": text})
    tokens = np.zeros((1, 0), dtype=np.int64)
    for place in range(sizes["tokens"]):
        before = tokens[:, -1:] if place else np.zeros((1, 1), dtype=np.int64)
        given = {"before": before, "place": np.array(place), "cache": cache}
        scores, cache = sessions["forward_step"].run(["scores", "next_cache"], given)
        tokens = np.concatenate((tokens, scores.argmax(axis=-1)[:, None]), axis=1)
    features = Features(vision=torch.from_numpy(vision), text=torch.from_numpy(text))
    plan = bundle.models["forward"].plan(features)
    assert np.array_equal(tokens, plan.indices.numpy())
    (actions,) = sessions["inverse"].run(None, {"vision": vision, "proprio": proprio, "tokens": tokens})
    motion = bundle.models["tokenizer"].embed(plan, "codes")
    wanted = bundle.models["inverse"].act(features, torch.from_numpy(proprio), motion)
    np.testing.assert_allclose(actions, wanted.actions.numpy(), rtol=1e-4, atol=1e-5)


def test_what_deviates_is_not_written(tmp_path):
    bundle = tiny(tmp_path / "bundle", names=("inverse", "tokenizer"))
    with pytest.raises(AmplifyError, match="does not compute what PyTorch does"):
        export_torch(bundle, tmp_path / "out", batch=1, tolerance=-1.0)
    assert {path.name for path in tmp_path.iterdir()} == {"bundle"}
    assert set(export_torch(bundle, tmp_path / "out", batch=1, tolerance=1e-5)["functions"]) == {"inverse"}
    export_torch(bundle, tmp_path / "out", batch=1, tolerance=1e-5)
    with pytest.raises(AmplifyError, match="holds no export"):
        export_torch(bundle, tmp_path / "bundle", batch=1, tolerance=1e-5)


def test_a_bundle_that_neither_foresees_nor_acts_is_refused(tmp_path):
    with pytest.raises(BundleError, match="nothing that foresees or acts"):
        export_onnx(tiny(tmp_path / "bundle", names=("tokenizer",)), tmp_path / "out", batch=1, tolerance=1e-4)


def test_deviations():
    assert deviation(torch.tensor([1.0, 2.5]), torch.tensor([1.0, 2.0])) == pytest.approx(0.25)
    assert deviation(torch.tensor([1, 2]), torch.tensor([1, 3])) == 1
    assert deviation(torch.tensor([1, 3]), torch.tensor([1, 3])) == 0
    assert files.KIND == "amplify-export"
