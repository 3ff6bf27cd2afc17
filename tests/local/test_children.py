import json
import os
import signal
import subprocess
import sys

import psutil
import pytest
from fleetdesk_local import children

SLEEPER = [sys.executable, "-c", "import time; print('ready', flush=True); time.sleep(60)"]
STUBBORN_SCRIPT = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print('ready', flush=True)
time.sleep(60)
"""
STUBBORN = [sys.executable, "-c", STUBBORN_SCRIPT]


@pytest.fixture
def start():
    """Starts a process in a session of its own, once it has said that it is ready."""
    started = []

    def run(command):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
        assert process.stdout is not None
        process.stdout.readline()
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


class TestPidFile:
    def test_names_the_running_process(self, tmp_path, start):
        process = start(SLEEPER)
        children.write_pid_file(tmp_path / "a.pid", process.pid)
        found = children.read_pid_file(tmp_path / "a.pid")
        assert found is not None
        assert found.pid == process.pid

    def test_names_nobody_once_the_process_has_ended(self, tmp_path, start):
        process = start(SLEEPER)
        children.write_pid_file(tmp_path / "a.pid", process.pid)
        process.kill()
        process.wait()
        assert children.read_pid_file(tmp_path / "a.pid") is None

    def test_names_nobody_when_the_pid_went_to_another_process(self, tmp_path, start):
        process = start(SLEEPER)
        earlier = psutil.Process(process.pid).create_time() - 100
        (tmp_path / "a.pid").write_text(json.dumps({"pid": process.pid, "start_time": earlier}))
        assert children.read_pid_file(tmp_path / "a.pid") is None

    @pytest.mark.parametrize("content", ["", "12", "{}", '{"pid": "x", "start_time": 1}'])
    def test_names_nobody_when_broken(self, tmp_path, content):
        (tmp_path / "a.pid").write_text(content)
        assert children.read_pid_file(tmp_path / "a.pid") is None


class TestEnd:
    def test_kills_a_process_that_ignores_the_first_signal(self, start):
        process = start(STUBBORN)
        children.end(psutil.Process(process.pid), ((signal.SIGTERM, 0.2), (signal.SIGKILL, 5.0)))
        assert not psutil.pid_exists(process.pid)


class TestEndOrphans:
    def test_ends_what_the_files_name_and_removes_them(self, tmp_path, start):
        process = start(SLEEPER)
        children.write_pid_file(children.pid_file(tmp_path, "memory"), process.pid)
        (tmp_path / "gone.pid").write_text(json.dumps({"pid": 999_999_9, "start_time": 1}))
        assert children.end_orphans(tmp_path) == ["memory"]
        assert not psutil.pid_exists(process.pid)
        assert not (tmp_path / "memory.pid").exists()

    def test_also_ends_what_the_orphan_had_started(self, tmp_path, start):
        script = (
            "import subprocess, sys, time\n"
            "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
            "print(child.pid, flush=True)\n"
            "time.sleep(60)\n"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", script],
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert process.stdout is not None
        grandchild = psutil.Process(int(process.stdout.readline()))
        children.write_pid_file(children.pid_file(tmp_path, "retrieval"), process.pid)
        children.end_orphans(tmp_path)
        process.wait(5)
        process.stdout.close()
        gone, _ = psutil.wait_procs([grandchild], timeout=5)
        assert gone or grandchild.status() == psutil.STATUS_ZOMBIE

    def test_leaves_other_processes_alone(self, tmp_path):
        assert children.end_orphans(tmp_path) == []
        assert psutil.pid_exists(os.getpid())
