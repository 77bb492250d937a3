"""The hub's HTTP API, as far as pushing and pulling need it."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, constants, hf_hub_url
from huggingface_hub.errors import (
    HTTPError,  # type: ignore[attr-defined]
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import RepoFile

from amplify.errors import HubError
from amplify.hub.contents import TEXT_LIMIT, Entry
from amplify.hub.failures import clear_failures
from amplify.hub.names import Repo, RepoType

SHOWN = 1000
"""Repositories of an owner that are looked through for a name like the one that was not found."""


class Hub:
    """A hub of models and datasets.

    The token is that of ``HF_TOKEN`` or of ``hf auth login``.

    Args:
        endpoint: Its address; that of ``HF_ENDPOINT`` by default, else the public one.
    """

    def __init__(self, endpoint: str | None = None):
        self.endpoint = (endpoint or os.environ.get("HF_ENDPOINT") or constants.ENDPOINT).rstrip("/")
        self.api = HfApi(endpoint=self.endpoint, library_name="amplify-robot")

    @contextmanager
    def asked(self, repo: Repo) -> Iterator[None]:
        """Failures of requests within the block become `HubError`."""
        with clear_failures(repo, self.endpoint, names=lambda: self.names(repo)):
            yield

    def url(self, repo: Repo) -> str:
        """Its page."""
        return f"{self.endpoint}/{'datasets/' if repo.type == 'dataset' else ''}{repo.name}"

    def file_url(self, repo: Repo, path: str) -> str:
        """Where a file is downloaded from."""
        return hf_hub_url(repo.name, path, repo_type=repo.type, revision=repo.revision, endpoint=self.endpoint)

    @property
    def headers(self) -> dict[str, str]:
        """Of a request for a file: who asks."""
        # Compressed answers would hide how much arrives, and cannot be resumed.
        return {**self.api._build_hf_headers(), "Accept-Encoding": "identity"}

    def user(self, repo: Repo) -> str:
        """Who is logged in.

        Raises:
            HubError: Nobody is.
        """
        with self.asked(repo):
            return self.api.whoami()["name"]

    def types_of(self, repo: Repo) -> list[RepoType]:
        """The types of repository that there are of this name."""
        return [kind for kind in get_args(RepoType) if self._info(repo, kind) is not None]

    def commit(self, repo: Repo) -> str:
        """The hash of the commit that its revision stands for.

        Raises:
            HubError: No such repository or revision, or the hub cannot be asked.
        """
        with self.asked(repo):
            return str(self.api.repo_info(repo.name, repo_type=repo.type, revision=repo.revision).sha)

    def visibility(self, repo: Repo) -> str | None:
        """``private`` or ``public``; None where there is no such repository."""
        info = self._info(repo, repo.type)
        return None if info is None else "private" if info.private else "public"

    def files(self, repo: Repo) -> dict[str, Entry]:
        """Its files by path."""
        with self.asked(repo):
            tree = self.api.list_repo_tree(repo.name, repo_type=repo.type, revision=repo.revision, recursive=True)
            return {
                f.path: Entry(f.path, f.size, f.blob_id if f.lfs is None else f.lfs.sha256)
                for f in tree
                if isinstance(f, RepoFile)
            }

    def text(self, repo: Repo, entry: Entry) -> str:
        """A small text file.

        Raises:
            HubError: It is too large, no text, or cannot be had.
        """
        from huggingface_hub.utils import get_session, hf_raise_for_status

        if entry.size > TEXT_LIMIT:
            raise HubError(f"{entry.path} of {repo.name} is too large for a text file", got=f"{entry.size} bytes")
        with self.asked(repo):
            answer = get_session().get(self.file_url(repo, entry.path), headers=self.headers)
            hf_raise_for_status(answer)
        try:
            return answer.content.decode()
        except UnicodeDecodeError as error:
            raise HubError(f"{entry.path} of {repo.name} is no text", got=str(error)) from None

    def create(self, repo: Repo, *, private: bool) -> None:
        """Makes a repository."""
        with self.asked(repo):
            self.api.create_repo(repo.name, repo_type=repo.type, private=private, exist_ok=True)

    def ensure_branch(self, repo: Repo) -> None:
        """Makes the branch that the revision names, where there is none."""
        with self.asked(repo):
            if repo.revision is not None:
                try:
                    self.api.repo_info(repo.name, repo_type=repo.type, revision=repo.revision)
                except RevisionNotFoundError:
                    self.api.create_branch(repo.name, repo_type=repo.type, branch=repo.revision)

    def send(
        self, repo: Repo, added: Mapping[str, Path | bytes], removed: Sequence[str] = (), *, message: str
    ) -> str | None:
        """One commit; its hash, None where nothing changed.

        Args:
            repo: Where.
            added: Contents by path in the repository.
            removed: Paths.
            message: Of the commit.
        """
        if not added and not removed:
            return None
        operations = [
            *(CommitOperationAdd(path_in_repo=path, path_or_fileobj=content) for path, content in added.items()),
            *(CommitOperationDelete(path_in_repo=path, is_folder=False) for path in removed),
        ]
        with self.asked(repo):
            return self.api.create_commit(
                repo.name,
                operations,
                repo_type=repo.type,
                revision=repo.revision,
                commit_message=message,
            ).oid

    def move_tag(self, repo: Repo, tag: str, commit: str) -> None:
        """Makes a tag point to a commit, wherever it pointed before."""
        with self.asked(repo):
            refs = self.api.list_repo_refs(repo.name, repo_type=repo.type)
            before = {ref.name: ref.target_commit for ref in refs.tags}.get(tag)
            if before == commit:
                return
            if before is not None:
                self.api.delete_tag(repo.name, tag=tag, repo_type=repo.type)
            self.api.create_tag(repo.name, tag=tag, revision=commit, repo_type=repo.type)

    def _info(self, repo: Repo, kind: RepoType) -> Any:
        with self.asked(repo):
            try:
                return self.api.repo_info(repo.name, repo_type=kind)
            except RepositoryNotFoundError as error:
                if error.response.headers.get("X-Error-Code") == "GatedRepo":
                    raise
                return None

    def names(self, repo: Repo) -> list[str]:
        """Models and datasets of its owner, as far as the hub says."""
        owner = repo.name.split("/")[0]
        try:
            models = self.api.list_models(author=owner, limit=SHOWN)
            datasets = self.api.list_datasets(author=owner, limit=SHOWN)
            return sorted({found.id for listing in (models, datasets) for found in listing})
        except (HTTPError, OfflineModeIsEnabled, LocalTokenNotFoundError):
            return []  # it only was to help
