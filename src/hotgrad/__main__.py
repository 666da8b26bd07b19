"""`python -m hotgrad`."""

from hotgrad.cli import main

if __name__ == "__main__":
    main()
