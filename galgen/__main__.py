"""`python -m galgen` is `galgen`."""

import sys

from galgen.cli import main

sys.exit(main())
