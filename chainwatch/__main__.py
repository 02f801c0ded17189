"""`python -m chainwatch`: the command line, for an interpreter whose scripts are not at hand."""

from chainwatch.cli.main import main

if __name__ == "__main__":
    main()
