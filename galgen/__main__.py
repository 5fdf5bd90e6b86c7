"""Run the command line: `python -m galgen` is equivalent to `galgen`."""

import sys

try:
    from galgen.cli import main
except KeyboardInterrupt:  # while importing
    sys.exit(130)

sys.exit(main())
