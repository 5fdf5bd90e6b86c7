"""`python -m galgen` is `galgen`."""

import sys

try:
    from galgen.cli import main
except KeyboardInterrupt:  # in its first seconds
    sys.exit(130)

sys.exit(main())
