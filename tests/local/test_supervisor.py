import asyncio
import os
import signal
import sys

import psutil
import pytest
from fleetdesk_local import children
from fleetdesk_local.programs import Program
from fleetdesk_local.supervisor import Supervisor
from harness.waiting import eventually

SLEEP = "import time\nprint('at work', flush=True)\ntime.sleep(60)\n"


@pytest.fixture
def program(tmp_path):
    def make(name, script, **options):
        return Program(
            name=name,
            argv=(sys.executable, "-c", script),
            log_file=tmp_path / "logs" / f"{name}.log",
            environment=dict(os.environ),
            **options,
        )

    return make


@pytest.fixture
def deaths():
    return []


@pytest.fixture
async def supervisor(tmp_path, deaths):
    opened = Supervisor(tmp_path / "run", deaths.append)
    await opened.open()
    yield opened
    await opened.close()


async def says(program, words):
    """Wait until the program has logged `words`."""

    async def said():
        return program.log_file.exists() and words in program.log_file.read_text()

    await eventually(said)


class TestSupervisor:
    async def test_starts_a_killed_program_again_and_says_so(self, supervisor, program, deaths):
        worker = program("worker", SLEEP)
        await supervisor.start(worker)
        await says(worker, "at work")
        first = supervisor.pid("worker")
        os.kill(first, signal.SIGKILL)

        async def is_replaced():
            return supervisor.pid("worker") not in (None, first)

        await eventually(is_replaced)
        [death] = deaths
        assert death.sentence() == "worker was killed by SIGKILL; its last words: at work"

    async def test_says_why_a_program_ended_by_itself(self, supervisor, program, deaths):
        await supervisor.start(program("broken", "raise SystemExit('no such table')"))

        async def died():
            return bool(deaths)

        await eventually(died)
        assert deaths[0].sentence() == (
            "broken ended with exit code 1; its last words: no such table"
        )

    async def test_says_what_a_service_logged_in_words(self, supervisor, program, deaths):
        script = """
import json
print(json.dumps({"event": "command_failed", "problem": "no key", "exception": ["…"]}))
raise SystemExit(1)
"""
        await supervisor.start(program("service", script))

        async def died():
            return bool(deaths)

        await eventually(died)
        assert deaths[0].sentence().endswith("its last words: command failed: no key")

    async def test_ends_what_a_dead_program_had_started(self, supervisor, program):
        script = (
            "import subprocess, sys, time\n"
            "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
            "print('child', child.pid, flush=True)\n"
            "time.sleep(60)\n"
        )
        parent = program("parent", script)
        await supervisor.start(parent)
        await says(parent, "child")
        child = psutil.Process(int(parent.log_file.read_text().split()[1]))
        os.kill(supervisor.pid("parent"), signal.SIGKILL)

        async def is_gone():
            return not child.is_running() or child.status() == psutil.STATUS_ZOMBIE

        await eventually(is_gone)

    async def test_a_stopped_program_stays_stopped_and_is_no_death(
        self, supervisor, program, deaths, tmp_path
    ):
        worker = program("worker", SLEEP)
        await supervisor.start(worker)
        await says(worker, "at work")
        await supervisor.stop(["worker"])
        await asyncio.sleep(1)
        assert supervisor.pid("worker") is None
        assert deaths == []
        assert not children.pid_file(tmp_path / "run", "worker").exists()

    async def test_restart_gives_a_new_process(self, supervisor, program):
        worker = program("worker", SLEEP)
        await supervisor.start(worker)
        await says(worker, "at work")
        first = supervisor.pid("worker")
        await supervisor.restart("worker")
        assert supervisor.pid("worker") not in (None, first)

    async def test_kills_a_program_that_does_not_stop_in_time(self, supervisor, program):
        stubborn = program(
            "stubborn",
            "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SLEEP,
            stop_patience_s=0.3,
        )
        await supervisor.start(stubborn)
        await says(stubborn, "at work")
        pid = supervisor.pid("stubborn")
        await supervisor.stop(["stubborn"])
        assert not psutil.pid_exists(pid)

    async def test_a_program_that_cannot_be_started_stops_nobody_else(
        self, supervisor, program, tmp_path
    ):
        """Its folder is gone, say."""
        await supervisor.start(program("lost", SLEEP, working_dir=tmp_path / "gone"))
        worker = program("worker", SLEEP)
        await supervisor.start(worker)
        await says(worker, "at work")
        assert supervisor.pid("lost") is None

    async def test_pid_files_name_what_runs(self, supervisor, program, tmp_path):
        await supervisor.start(program("worker", SLEEP))
        found = children.read_pid_file(children.pid_file(tmp_path / "run", "worker"))
        assert found is not None
        assert found.pid == supervisor.pid("worker")

    async def test_a_terminal_s_ctrl_c_reaches_no_program(self, supervisor, program):
        await supervisor.start(program("worker", SLEEP))
        assert os.getsid(supervisor.pid("worker")) != os.getsid(0)
