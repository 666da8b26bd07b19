"""`python -m hotgrad`."""

from hotgrad_command import main

if __name__ == "__main__":
    main()
