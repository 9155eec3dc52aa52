"""The CustomResourceDefinition, made of the contract's models and the pass classes: `python -m millwright_runner.crd`."""
