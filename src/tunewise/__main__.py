"""`python -m tunewise`, and the console script."""

import sys


def main() -> None:
    """Run the command line; a Ctrl-C while it is still being loaded ends quietly, too."""
    try:
        from tunewise.cli import main as run
    except KeyboardInterrupt:
        sys.stderr.write("tunewise: stopped.\n")
        raise SystemExit(130) from None
    run()


if __name__ == "__main__":
    main()
