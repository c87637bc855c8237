"""``python -m trader`` and the ``trader`` command."""

from trader.cli import app


def main() -> None:
    """Run the command line."""
    app(prog_name="trader")


if __name__ == "__main__":
    main()
