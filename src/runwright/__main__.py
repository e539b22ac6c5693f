"""`python -m runwright` is the command `runwright`."""

import sys

from runwright.cli.main import main

sys.exit(main())
