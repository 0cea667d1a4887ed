"""The vertices behind the stream operators, one idea a file."""
