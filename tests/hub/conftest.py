import shutil

import pytest
from huggingface_hub import constants, utils
from tests.export.bundles import tiny
from tests.hub.standin import TOKEN, StandIn


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    return tiny(tmp_path_factory.mktemp("trained") / "policy", names=("tokenizer",)).path


@pytest.fixture
def bundle(trained, tmp_path):
    """A bundle of one's own."""
    return shutil.copytree(trained, tmp_path / "policy")


@pytest.fixture
def standin(monkeypatch, tmp_path):
    """A hub on this machine, whose user is logged in; nothing of the real one is asked or read."""
    with StandIn() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setenv("AMPLIFY_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
        # Parts of a small file are kept, as those of a large one are.
        monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 10_000)
        # Waits between attempts are the client's own; nobody waits for them here.
        monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _: None)
        monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda _: None)
        yield hub
        utils.close_session()
