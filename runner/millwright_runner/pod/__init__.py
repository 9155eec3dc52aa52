"""The runner inside a cluster: `python -m millwright_runner.pod preflight|stage|report`.

A pod finds its job in a mounted folder and everything else in its environment (`inside.py`), and its last word is a
RunReport in the container's termination message, however it ends.
"""
