"""The command line: one verb, one file. Results go to stdout, everything else to stderr."""
