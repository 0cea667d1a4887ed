"""The Kubernetes operator: it owns pods, leaders own jobs.

`model` says what the objects hold, `manifests` what is wanted of the API server for one cluster, `reconcile` what to
do about what was seen; these are pure, as are `queue` and `lease`. `shell` looks, and carries out plans. Workers are
reached through `limnad.client` only, the API server through `api` only.
"""
