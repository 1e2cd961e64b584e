"""`python -m tests.stateful`."""

import sys

from tests.stateful.many import main

if __name__ == "__main__":  # each job's process imports this, too
    sys.exit(main())
