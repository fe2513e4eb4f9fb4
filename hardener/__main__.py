"""`python -m hardener` is `harden`."""

from hardener.entry import main

if __name__ == "__main__":
    main()
