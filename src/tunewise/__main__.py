"""`python -m tunewise`, and the console script."""

import io
import sys


def main() -> None:
    """Run the command line; a Ctrl-C while it is still being loaded ends quietly, too."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal without some sign shows a question mark in its place.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        from tunewise.cli import main as run
    except KeyboardInterrupt:
        sys.stderr.write("tunewise: stopped.\n")
        raise SystemExit(130) from None
    run()


if __name__ == "__main__":
    main()
