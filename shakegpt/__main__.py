"""`python -m shakegpt` is `shakegpt`."""

import sys

from shakegpt.cli import main

sys.exit(main())
