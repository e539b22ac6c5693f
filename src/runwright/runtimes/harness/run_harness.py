"""Runs a harness that is written in python: `run_harness.py MODULE FD UID FOLDER …`.

Python compiles the program that it is started with each time, and keeps the bytecode of modules only.
"""

import importlib
import os
import sys

sys.path.insert(0, os.path.dirname(__file__))
harness = importlib.import_module(sys.argv.pop(1))
del sys.path[0]
harness.main()
