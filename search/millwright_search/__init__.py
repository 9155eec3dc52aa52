"""The course of a search: which trial comes next, which passes trials share, when it is over, which trial is best.

Pure: no clock, no network, no memory of its own. The operator and `millwright run` ask the same questions and get the same
answers, so a manifest has the same trials on a cluster and on one machine.
"""
