"""``python -m limnad.cli`` is ``limnad``."""

from limnad.cli import main

main()
