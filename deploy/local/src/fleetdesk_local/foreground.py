"""One program run without circus: for tests, and for what runs before the fleet does."""

import subprocess

from fleetdesk_local.account import RunAs
from fleetdesk_local.programs import Program


class Foreground:
    """A program that lives as long as its owner wants; nobody restarts it."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> int:
        """Start it in a session of its own (a Ctrl-C is its owner's business); return its pid."""
        program = self._program
        run_as: RunAs = {}
        if program.user is not None and program.group is not None:
            run_as = {"user": program.user, "group": program.group, "extra_groups": []}
        program.log_file.parent.mkdir(parents=True, exist_ok=True)
        with program.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                program.argv,
                **run_as,
                env=dict(program.environment),
                cwd=program.working_dir,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return self._process.pid

    def stop(self) -> None:
        """Stop it and wait until it has ended; does nothing when it does not run."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(self._program.stop_signal)
        try:
            self._process.wait(self._program.stop_patience_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
