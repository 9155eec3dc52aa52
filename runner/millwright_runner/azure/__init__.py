"""Azure ML as a place that things lie in: which workspace, and what its datastores and registries are. Only for who asks
Azure: all but `coordinates` load its SDKs, at the latest when they are called."""
