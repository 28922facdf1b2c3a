"""Run ``python -m sklearn_beira``."""

import os
import sys

from sklearn_beira.cli import main

if __name__ == "__main__":
    if sys.argv[1:2] != ["screen"]:
        os.environ.setdefault("MPLBACKEND", "Agg")  # figures need no screen
    sys.exit(main())
