"""``python -m mkd``."""

import sys

from mkd.workflow import fork_server

if __name__ == "__main__":
    fork_server.hand_over(sys.argv[1:])
    from mkd.cli import main

    main()
