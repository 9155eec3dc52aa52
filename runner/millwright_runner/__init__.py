"""The runner: a job file in, artifacts out. Knows no cluster; imports nothing heavy before a pass runs."""
