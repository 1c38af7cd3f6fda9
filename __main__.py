"""`python -m edgelane` is the command `edgelane`."""

from .cli import main

if __name__ == "__main__":
    main()
