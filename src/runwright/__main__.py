"""`python -m runwright` is the command `runwright`."""

import sys

from runwright.cli.entry import main

sys.exit(main())
