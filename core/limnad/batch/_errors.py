"""The package's one error class of its own."""

__all__ = ["CodecError"]


class CodecError(ValueError):
    """Bytes that are no batch: malformed, truncated, hostile, or of a kind that this side does not accept."""
