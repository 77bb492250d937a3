"""What went wrong between here and the hub, said so that one can act on it."""

import difflib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from huggingface_hub import errors as hf
from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]

from amplify.errors import HubError
from amplify.hub.names import Repo

LOGIN = "run 'hf auth login', or set HF_TOKEN to a token of https://huggingface.co/settings/tokens"


@contextmanager
def clear_failures(repo: Repo, endpoint: str, *, names: Callable[[], list[str]] = list) -> Iterator[None]:
    """Turns what the hub's client raises into a `HubError`.

    Args:
        repo: What was asked for.
        endpoint: The hub's address.
        names: Repositories of the same owner, asked for when this one is not found.
    """
    try:
        yield
    except RuntimeError as error:
        # Threads that upload wrap what happened to them.
        cause = error.__cause__
        if not isinstance(cause, HTTPError | OSError):
            raise
        raise _explained(cause, repo, endpoint, names) from error
    except ValueError as error:
        if "README.md" not in str(error):
            raise
        raise HubError(
            f"the hub refuses the card of {repo.name}",
            got=str(error),
            remedy="mend the lines between '---' at the top of README.md",
        ) from error
    except (hf.LocalTokenNotFoundError, hf.OfflineModeIsEnabled, HTTPError) as error:
        raise _explained(error, repo, endpoint, names) from error


def not_found(what: str, name: str, names: list[str]) -> HubError:
    """The error for a repository that is not there.

    Args:
        what: The error in one line.
        name: What was asked for.
        names: What there is of the same owner.
    """
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    return HubError(
        what,
        allowed=f"there are {', '.join(near)}" if near else None,
        remedy="check the name and --kind; a private repository needs a login: " + LOGIN,
    )


def _explained(error: BaseException, repo: Repo, endpoint: str, names: Callable[[], list[str]]) -> HubError:
    where = f"{repo.type} {repo.name} on {endpoint}"
    status = error.response.status_code if isinstance(error, hf.HfHubHTTPError) else None
    if isinstance(error, hf.LocalTokenNotFoundError):
        return HubError(f"not logged in to {endpoint}", remedy=LOGIN)
    if isinstance(error, hf.OfflineModeIsEnabled):
        return HubError("the hub is not asked: HF_HUB_OFFLINE is set", remedy="unset it")
    if isinstance(error, hf.GatedRepoError):
        return HubError(
            f"access to {where} has to be granted first",
            remedy=f"open {endpoint}/{'datasets/' * (repo.type == 'dataset')}{repo.name}, accept the conditions, and "
            "log in: " + LOGIN,
        )
    if isinstance(error, hf.RevisionNotFoundError):
        return HubError(
            f"{repo.name} has no such revision",
            got=repo.revision,
            allowed="a branch, a tag or a commit hash",
            remedy=f"leave the revision out for the newest, or look at {endpoint}/"
            f"{'datasets/' * (repo.type == 'dataset')}{repo.name}/commits/main",
        )
    if isinstance(error, hf.RepositoryNotFoundError):
        return not_found(f"no {where} that you can see", repo.name, names())
    if status == 401:
        return HubError(f"{endpoint} does not accept the token", got=_said(error), remedy=LOGIN)
    if status == 403:
        return HubError(
            f"the token may not do that to {where}",
            got=_said(error),
            remedy="use a token with write permission, or a repository of your own",
        )
    if status == 429:
        wait = error.response.headers.get("Retry-After") if isinstance(error, hf.HfHubHTTPError) else None
        return HubError(
            f"{endpoint} asks for fewer requests",
            got=f"come back in {wait} s" if wait else _said(error),
            remedy="run the same command again later: it goes on from here; being logged in allows more requests",
        )
    if status is not None:
        return HubError(
            f"{endpoint} failed", got=f"{status}: {_said(error)}", remedy="run the same command again: it goes on"
        )
    return HubError(
        f"cannot reach {endpoint}",
        got=f"{type(error).__name__}: {error}",
        remedy="check the network and HF_ENDPOINT, then run the same command again: it goes on from here",
    )


def _said(error: BaseException) -> str:
    message = getattr(error, "server_message", None) or str(error)
    return next((line.strip() for line in message.splitlines() if line.strip()), type(error).__name__)
