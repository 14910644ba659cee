"""`python -m shakegpt` is `shakegpt`."""

import signal
import sys


def main() -> int:
    """The command line. Ctrl-C before it is there ends the process in silence."""
    handler = signal.getsignal(signal.SIGINT)
    if handler is not signal.SIG_IGN:  # as for `command &` and nohup
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from shakegpt.cli import main

    signal.signal(signal.SIGINT, handler)
    return main.main()


if __name__ == "__main__":
    sys.exit(main())
