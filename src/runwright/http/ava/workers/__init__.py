"""Workers: definitions of code to run."""
