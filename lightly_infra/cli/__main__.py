"""`python -m lightly_infra.cli`."""

from lightly_infra.cli import main

main()
