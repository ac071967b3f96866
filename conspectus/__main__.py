"""``python -m conspectus``; the console script starts here too."""

import sys

from conspectus.cli import main

if __name__ == "__main__":
    sys.exit(main())
