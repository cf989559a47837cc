"""The command line: parse, load, run, show."""
