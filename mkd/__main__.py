"""``python -m mkd``."""

from mkd.cli import main

if __name__ == "__main__":
    main()
