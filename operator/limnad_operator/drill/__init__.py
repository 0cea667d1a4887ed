"""``limnad drill --kubernetes``: strikes a cluster through the API server while a job runs whose right answer is known.

`job` is that job and its plain reference, `reading` compares what a pod beside the cluster reads of it, `faults` says
what is done and what recovered means: all three without any input or output. `watching` and `striking` talk to the API
server, `running` puts them together.
"""
