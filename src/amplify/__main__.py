"""``python -m amplify`` is the command line."""

from amplify.cli import main

if __name__ == "__main__":
    main()
