"""The program that filters packets in the namespaces of pods."""

from tests.helpers.debian import find_program


def find_nft() -> str:
    """The program, installed if need be.

    Raises:
        RuntimeError: There is none.
    """
    return find_program("nft", "nftables", "LIMNAD_NFT", "The package is called nftables")
