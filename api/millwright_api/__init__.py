"""The contract between those who write manifests, the operator and the runner. pydantic only."""
