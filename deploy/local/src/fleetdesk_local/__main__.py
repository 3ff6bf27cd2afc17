"""`python -m fleetdesk_local`."""

from fleetdesk_local.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
