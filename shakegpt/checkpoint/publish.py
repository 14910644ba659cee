"""Upload a run's best model to the Hugging Face Hub. Imports no torch."""

from __future__ import annotations

from pathlib import Path

from shakegpt.checkpoint.model_card import model_card
from shakegpt.data.timeouts import call_with_timeout
from shakegpt.errors import ShakegptError
from shakegpt.files import WEIGHTS
from shakegpt.runlog import history
from shakegpt.sanitize import sentence


def require_repository(name: str) -> None:
    """Raise ShakegptError for what is not owner/name as the hub spells it."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils._validators import validate_repo_id

    try:
        validate_repo_id(name)
    except HFValidationError as error:
        raise ShakegptError(f"--push {name}: {sentence(str(error), 200)}") from None
    if name.count("/") != 1:
        raise ShakegptError(f"--push needs OWNER/NAME, got {name}")


def push(run: Path, repository: str, *, public: bool) -> str:
    """Commit the model of the run directory `run`, with a model card, to `repository`.

    Creates the repository where there is none, private unless `public`. Returns its address. Raises
    ShakegptError for a run without a model, without permission, and when the hub is out of reach.
    """
    from huggingface_hub import CommitOperationAdd, HfApi
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError

    card = model_card(history.load_started(run), repository)
    folder = run / "model"
    if not (folder / WEIGHTS).is_file():
        raise ShakegptError(f"{folder} has no {WEIGHTS}: there is no model to push")
    operations = [CommitOperationAdd("README.md", card.encode())]
    for path in sorted(folder.iterdir()):
        if path.is_file() and not path.name.startswith("."):
            operations.append(CommitOperationAdd(path.name, str(path)))
    api = HfApi(library_name="shakegpt")
    try:
        call_with_timeout(lambda: api.create_repo(repository, private=not public, exist_ok=True))
        api.create_commit(repository, operations, commit_message=f"Upload {run.resolve().name}")
    except LocalTokenNotFoundError:
        raise ShakegptError(
            "not logged in to the hub: run `hf auth login`, or set HF_TOKEN"
        ) from None
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else None
        if status in (401, 403):
            raise ShakegptError(
                f"no permission to write {repository}: log in as its owner with `hf auth login`, "
                "with a token that may write"
            ) from None
        raise ShakegptError(
            f"the hub refused {repository} with status {status}: {sentence(str(error), 200)}",
            exit_code=1,
        ) from None
    except Exception as error:
        # of its HTTP client, an OSError, or a page that is not the hub's answer
        if not isinstance(error, (*HfHubHTTPError.__bases__, ValueError)):
            raise
        raise ShakegptError(
            f"cannot push to {repository}, the hub is out of reach: {sentence(str(error), 200)}; "
            "try again: nothing is lost",
            exit_code=1,
        ) from error
    return f"{api.endpoint}/{repository}"
