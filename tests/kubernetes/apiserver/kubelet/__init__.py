"""Nodes of this machine: pods are process trees in namespaces of their own, with real addresses and real signals.

Needs Linux, root, iproute2 and util-linux. What a pod may see is the machine's file system under a layer of its own, so
an image is no archive but says which programs of this machine a name stands for.
"""
