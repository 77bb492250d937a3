import json

import numpy as np
import pytest
from tests.reference.folder import FOLDER

from amplify.errors import DataError
from amplify.reference.loader import LoaderSettings, ReferenceLoader, settings_of

STORED = np.load(FOLDER / "official_loader_io.npz")


@pytest.fixture(scope="module")
def loader():
    return ReferenceLoader(FOLDER / "data")


def stored(setting, number):
    start = f"{setting}_{number}_"
    return {name.removeprefix(start): STORED[name] for name in STORED.files if name.startswith(start)}


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("plain", LoaderSettings(horizon=16, track_frames=16, image_px=(32, 32))),
        ("resized", LoaderSettings(horizon=16, track_frames=16, image_px=(48, 48))),
        ("interp8", LoaderSettings(horizon=16, track_frames=8)),
        ("spline8", LoaderSettings(horizon=16, track_frames=8, interpolation="spline")),
        ("h12", LoaderSettings(horizon=12, track_frames=12)),
    ],
)
def test_settings_are_read_from_the_arrays(loader, setting, expected):
    index = str(STORED[f"{setting}_index"])
    settings = settings_of(setting, index, stored(setting, 0))
    assert settings == expected
    assert loader.index(settings.horizon) == json.loads(index)


@pytest.mark.parametrize("number", [0, 1, 9, 22])
def test_samples_are_those_of_the_reference(loader, number):
    for setting in ("plain", "resized", "interp8", "spline8", "h12"):
        arrays = stored(setting, number)
        ours = loader.sample(number, settings_of(setting, str(STORED[f"{setting}_index"]), arrays))
        for name, expected in arrays.items():
            if expected.dtype.kind == "U":
                assert str(ours[name]) == str(expected)
            else:
                np.testing.assert_allclose(ours[name], expected, rtol=0, atol=1e-5, err_msg=f"{setting} {name}")


def test_a_spline_follows_a_cubic_exactly():
    from amplify.reference.loader import _spline

    t = np.linspace(-1, 1, 9)
    cubic = (2 * t**3 - t**2 + 0.3 * t)[None, :, None, None]
    fine = np.linspace(-1, 1, 21)
    np.testing.assert_allclose(_spline(cubic, 21)[0, :, 0, 0], 2 * fine**3 - fine**2 + 0.3 * fine, atol=1e-6)
    parabola = (t[::4] ** 2)[None, :, None, None]
    np.testing.assert_allclose(_spline(parabola, 21)[0, :, 0, 0], fine**2, atol=1e-6)


def test_views_and_mistakes(loader, tmp_path):
    assert loader.views == ("agentview", "eye_in_hand")
    one = ReferenceLoader(FOLDER / "data", ("eye_in_hand",)).sample(3, LoaderSettings(horizon=4, track_frames=4))
    assert one["images"].shape[0] == one["traj"].shape[0] == 1
    with pytest.raises(DataError, match="0 to 22"):
        loader.sample(23, LoaderSettings(horizon=4, track_frames=4))
    with pytest.raises(DataError, match="has tracks"):
        ReferenceLoader(FOLDER / "data", method="uniform_400").index(4)
    with pytest.raises(DataError, match="no demonstrations"):
        ReferenceLoader(tmp_path).index(4)
