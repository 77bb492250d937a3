import json

import numpy as np
import pytest
from tests.serve.toy import INFO, sent

from amplify.errors import DataError, UsageError
from amplify.policy.info import BundleInfo
from amplify.serve.mapping import CameraMapping, ObservationMapping, Reader, StatePart, fitted


def reader(**changes):
    return Reader(ObservationMapping.of(INFO).model_copy(update=changes), INFO)


def test_usual_names_are_known():
    observation = reader().read(sent(level=50))
    assert observation.cameras == ("front", "wrist")
    assert observation.images.shape == (1, 2, 16, 16, 3)
    assert observation.images[0, 0].unique().tolist() == [50]
    assert observation.images[0, 1].unique().tolist() == [7]
    assert observation.proprio.tolist() == [[1, 2, 3]]
    assert observation.instruction == ("open the drawer",)


def test_names_of_views_and_nested_maps():
    plain = sent()
    nested = {
        "observation": {
            "images": {"front": plain["observation/image"]},
            "wrist_image": plain["observation/wrist_image"],
        },
        "observation/state": plain["observation/state"],
        "task": "close it",
    }
    observation = reader().read(nested)
    assert observation.images[0, 0].unique().tolist() == [100]
    assert observation.instruction == ("close it",)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"observation/image": None}, "no image of the camera 'front'"),
        ({"observation/image": np.zeros((16, 16, 3), np.float32)}, "dtype float32"),
        ({"observation/image": "x"}, "is no image"),
        ({"observation/image": np.zeros((3, 16, 16), np.uint8)}, '"channels": "first"'),
        ({"observation/image": np.zeros((16, 16), np.uint8)}, "three colours"),
        ({"observation/image": np.zeros((0, 16, 3), np.uint8)}, "three colours"),
        ({"observation/state": np.zeros(7, np.float32)}, "3: a, b, c"),
        ({"observation/state": np.array([1, np.nan, 2])}, "not finite"),
        ({"observation/state": "x"}, "no vector of numbers"),
        ({"observation/state": None}, "no proprioception"),
        ({"prompt": 3}, "no instruction"),
        ({"prompt": "x" * 3000}, "no instruction"),
        ({"prompt": None}, "'prompt' or 'task' or 'instruction'"),
    ],
)
def test_mistakes_are_explained(changes, said):
    with pytest.raises(DataError) as caught:
        reader().read({**sent(), **changes})
    assert said in str(caught.value)


def test_rotation_is_counter_clockwise_and_channels_may_come_first():
    image = np.zeros((16, 16, 3), np.uint8)
    image[0, :, 0] = 255  # the upper edge is red
    for degrees, edge in ((0, np.s_[0, :]), (90, np.s_[:, 0]), (180, np.s_[-1, :]), (270, np.s_[:, -1])):
        camera = CameraMapping(keys=("observation/image",), rotate_deg=degrees)
        found = reader(cameras={"front": camera}).image("front", {"observation/image": image})
        assert (found[edge][..., 0] == 255).all(), degrees
        assert found[..., 0].sum() == 16 * 255
    first = CameraMapping(keys=("i",), channels="first")
    found = reader(cameras={"front": first}).image("front", {"i": np.moveaxis(image, -1, 0)})
    assert (found == image).all()


def test_state_is_put_together():
    parts = (StatePart(key="joints", start=1, stop=3), StatePart(key="gripper"))
    state = reader(state=parts).state({"joints": np.arange(7.0), "gripper": 0.5})
    assert state.tolist() == [1.0, 2.0, 0.5]
    assert state.dtype == np.float32


def test_default_prompt():
    assert reader(default_prompt="wait").prompt({}) == "wait"
    assert reader(default_prompt="wait").prompt({"prompt": "go"}) == "go"


def test_images_become_square():
    wide = np.full((10, 20, 3), 200, np.uint8)
    padded = fitted(wide, 40, "pad")
    assert (padded[10:30] == 200).all()
    assert not padded[:10].any()
    assert not padded[30:].any()
    assert (fitted(wide, 40, "stretch") == 200).all()
    assert fitted(np.zeros((1, 4000, 3), np.uint8), 16, "pad").shape == (16, 16, 3)
    assert fitted(wide[:, :10], 10, "pad") is not None


def test_mappings_come_from_bundles_and_files(tmp_path):
    content = {"cameras": {"front": {"keys": ["cam"], "rotate_deg": 180}}, "state": [{"key": "q"}], "size_px": 32}
    (tmp_path / "mapping.json").write_text(json.dumps(content))
    read = ObservationMapping.read(tmp_path / "mapping.json")
    assert read.cameras["front"].rotate_deg == 180
    assert ObservationMapping.of(BundleInfo(serving=content)) == read
    assert BundleInfo.model_validate(BundleInfo(serving=content).meta).serving == content
    for broken, said in (({**content, "fits": 1}, "fits"), ({"cameras": {}}, "cameras"), ([], "mapping")):
        (tmp_path / "broken.json").write_text(json.dumps(broken))
        with pytest.raises(UsageError, match=said):
            ObservationMapping.read(tmp_path / "broken.json")
    with pytest.raises(UsageError, match="cannot read"):
        ObservationMapping.read(tmp_path / "nowhere.json")
    with pytest.raises(UsageError, match="section 'serving'"):
        ObservationMapping.of(BundleInfo(serving={"size_px": 3}))
