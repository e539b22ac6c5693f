"""Workers: versioned definitions of code to run."""
