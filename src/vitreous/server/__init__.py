"""The explorer's server: a run, its samples and every number of its network, over HTTP."""
