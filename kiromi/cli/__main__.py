"""``python -m kiromi.cli`` is the same program as ``kiromi``."""

import sys

from kiromi.cli import main

sys.exit(main())
