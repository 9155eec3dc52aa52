"""Reconciles OptimizationJobs into Jobs: kopf at the edge, pure functions inside."""
