"""`python -m sightbook` is the command `sightbook`."""

from sightbook.cli import main

if __name__ == "__main__":
    main()
