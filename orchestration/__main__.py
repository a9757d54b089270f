"""`python -m orchestration` is `twohands`."""

from orchestration.cli import main

if __name__ == "__main__":
    main()
