"""Whether a terminal is interactive: notebooks and CI also give commands a pseudo-terminal."""

from __future__ import annotations

import os

NOTEBOOK = ("JPY_PARENT_PID", "JPY_SESSION_NAME", "COLAB_RELEASE_TAG", "KAGGLE_KERNEL_RUN_TYPE")
"""Set by Jupyter, Colab and Kaggle for commands in a cell."""
KERNEL = {"CLICOLOR": "1", "PAGER": "cat", "GIT_PAGER": "cat", "TERM": "xterm-color"}
"""Set together by every IPython kernel."""
CI = ("CI", "GITHUB_ACTIONS", "GITLAB_CI", "BUILDKITE", "TF_BUILD", "JENKINS_URL")
_OFF = ("", "0", "false", "no")


def unattended() -> str | None:
    """Why this terminal is not interactive, in a few words; None when it may be."""
    notebook = next((name for name in NOTEBOOK if os.environ.get(name)), None)
    if notebook is None and all(os.environ.get(name) == value for name, value in KERNEL.items()):
        notebook = "PAGER=cat and TERM=xterm-color"
    if notebook is not None:
        return f"this is a notebook ({notebook} is set)"
    ci = next((name for name in CI if os.environ.get(name, "").lower() not in _OFF), None)
    return f"this is a CI job ({ci} is set)" if ci is not None else None
