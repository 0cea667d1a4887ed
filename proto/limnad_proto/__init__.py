"""The wire contract: what processes of Limnad say to each other and to clients.

Only ``.proto`` files and the code that ``script/protos`` generates from them live here, one package for each version of
the contract, and what both ends of a channel have to agree on (`channels`). Generated code is checked in and never
edited. Wire types stay at the edge: the shells and
``limnad.client`` import this package, nothing else does.
"""
