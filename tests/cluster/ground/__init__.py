"""A real single-node Kubernetes, an S3 server and an image registry in namespaces of their own, for tests.

Needs root; everything is built from Go modules and Debian packages. `python -m tests.cluster.ground --help` lists what it
can do. Only the standard library is needed, so that it also serves where no `.venv` is.
"""
