"""Variables by which processes are told of TLS and tokens, and hand on to their children what they were told."""

TLS_CERT, TLS_KEY, TLS_CA = "LIMNAD_TLS_CERT", "LIMNAD_TLS_KEY", "LIMNAD_TLS_CA"
"""Files: a certificate, its key, and the authorities that others are checked against; a client has the last alone."""

TLS_DOMAIN, DATA_PLANE = "LIMNAD_TLS_DOMAIN", "LIMNAD_DATA_PLANE"

TOKEN, TOKEN_FILE = "LIMNAD_TOKEN", "LIMNAD_TOKEN_FILE"
"""A client's token, or a file with it; agents have all tokens in such a file."""

TLS = (TLS_CERT, TLS_KEY, TLS_CA, TLS_DOMAIN, DATA_PLANE)
TOKENS = (TOKEN, TOKEN_FILE)
SECURITY = (*TLS, *TOKENS)
