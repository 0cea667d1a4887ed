"""The Kubernetes operator: observe, validate, plan, act.

Not there yet: this package holds its place and its charter, and nothing in it runs. The plan will be a pure function of
the desired and the observed state, resources will be built by pure functions, and a thin shell will talk to the API
server. It will reach workers through ``limnad.client`` only.
"""
