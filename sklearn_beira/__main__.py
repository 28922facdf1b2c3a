"""Run ``python -m sklearn_beira``."""

import sys

from sklearn_beira.cli import main

if __name__ == "__main__":
    sys.exit(main())
