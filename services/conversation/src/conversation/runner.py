"""The turns that this process answers: each a task of its own, whoever listens.

A turn ends in one of four ways: completed; canceled by the visitor or a person; failed by an error
or its deadline; or lost, when another process has closed it because this one was not heard of.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from fleetkit.context import Attribution, background, deadline_in
from fleetkit.errors import FleetError, ResourceExhausted, Unavailable
from fleetkit.logging import get_logger
from fleetkit.rpc.retry import retry_idempotent
from fleetkit.telemetry import gauge

from conversation import closing
from conversation.answering import Answering
from conversation.deps import Deps
from conversation.store import messages
from conversation.turn import Turn, TurnLost, TurnResult
from conversation.writer import TurnWriter

_RETRY_AFTER_S = 1.0
# What a drain keeps of its grace period to mark the turns that did not finish as failed.
_CLOSING_SHARE = 0.3

_CANCELED = "CANCELED"
_FAILURES = {"canceled": _CANCELED, "shutdown": "SHUTTING_DOWN", "lost": None}

Spawn = Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]]
StopReason = Literal["canceled", "shutdown", "lost"]


@dataclass(slots=True)
class _Running:
    turn: Turn
    task: asyncio.Task[None] | None = None
    stop_reason: StopReason | None = None
    # Set once the turn is being closed: from then on it can't be stopped any more.
    closing: bool = False

    def stop(self, reason: StopReason) -> None:
        if not self.closing and self.stop_reason is None and self.task is not None:
            self.stop_reason = reason
            self.task.cancel()


class TurnRunner:
    """Starts, keeps alive and stops turns; at most `max_concurrent_turns` at once."""

    def __init__(self, deps: Deps, spawn: Spawn) -> None:
        self._deps = deps
        self._spawn = spawn
        self._running: dict[UUID, _Running] = {}
        self._reserved = 0
        self._draining = False

    def reserve(self) -> None:
        """Takes a place for a turn that is about to begin; give it back with `release`.

        ResourceExhausted when all are taken, Unavailable when the process stops.
        """
        if self._draining:
            raise Unavailable("the service is restarting: ask again", retry_after_s=_RETRY_AFTER_S)
        if len(self._running) + self._reserved >= self._deps.settings.max_concurrent_turns:
            raise ResourceExhausted(
                "too many questions are being answered right now: ask again in a moment",
                reason="TOO_MANY_TURNS",
                retry_after_s=_RETRY_AFTER_S,
            )
        self._reserved += 1

    def release(self) -> None:
        """Gives a reserved place back."""
        self._reserved -= 1

    def start(self, turn: Turn) -> None:
        """Answers the turn in a task of its own; `reserve` comes before."""
        running = self._running[turn.message_id] = _Running(turn)
        attribution = Attribution(
            purpose="trial" if turn.is_trial else "turn",
            message_id=turn.message_id,
            conversation_id=turn.conversation_id,
            agent_id=turn.agent_id,
            visitor_id=None if turn.is_trial else turn.visitor_id,
        )
        with background(turn.tenant_id, attribution):
            running.task = self._spawn(self._answer(running), "turn")
        running.task.add_done_callback(lambda _: self._ended(turn.message_id))
        _in_flight().set(len(self._running))

    def answers(self, message_id: UUID) -> bool:
        """Whether this process answers that message."""
        return message_id in self._running

    def cancel(self, message_id: UUID) -> None:
        """Stops a turn of this process, if it is one; what was sent is kept."""
        if (running := self._running.get(message_id)) is not None:
            running.stop("canceled")

    async def keep_alive_forever(self) -> None:
        """Extends the leases of this process's turns, and stops those that are to be stopped.

        The second is a safety net under the notification that `CancelTurn` sends.
        """
        while True:
            await asyncio.sleep(self._deps.settings.turn_lease_s / 3)
            for tenant_id in {running.turn.tenant_id for running in self._running.values()}:
                try:
                    await self._keep_alive(tenant_id)
                except FleetError as error:
                    get_logger().warning("lease_not_extended", error=type(error).__name__)

    async def drain(self, grace_s: float) -> None:
        """Takes no more turns, gives those in flight the grace period, fails the rest."""
        self._draining = True
        if (tasks := self._tasks()) and grace_s > 0:
            await asyncio.wait(tasks, timeout=grace_s * (1 - _CLOSING_SHARE))
        for running in self._running.values():
            running.stop("shutdown")
        if tasks := self._tasks():
            await asyncio.wait(tasks, timeout=max(grace_s * _CLOSING_SHARE, 0.5))

    def _tasks(self) -> list[asyncio.Task[None]]:
        return [each.task for each in self._running.values() if each.task is not None]

    def _ended(self, message_id: UUID) -> None:
        self._running.pop(message_id, None)
        _in_flight().set(len(self._running))

    async def _keep_alive(self, tenant_id: UUID) -> None:
        mine = [each for each in self._running.values() if each.turn.tenant_id == tenant_id]
        async with self._deps.db.tenant(tenant_id) as conn:
            alive = dict(
                await messages.extend_leases(
                    conn,
                    tenant_id,
                    self._deps.owner,
                    [running.turn.message_id for running in mine],
                    self._deps.settings.turn_lease_s,
                )
            )
        for running in mine:
            to_stop = alive.get(running.turn.message_id)
            if to_stop is None:
                running.stop("lost")
            elif to_stop:
                running.stop("canceled")

    async def _answer(self, running: _Running) -> None:
        """The whole life of a turn; always closes it, unless it is lost."""
        writer = TurnWriter(self._deps, running.turn)
        answering = Answering(self._deps, running.turn, writer)
        failure: str | None = "INTERNAL"
        try:
            failure = await self._outcome(running, answering, writer)
        finally:
            # Also when something unforeseen passes through: the turn must not stay open.
            running.closing = True
            await _settled(writer)
            if failure is not None:
                await self._close(running, answering, failure)

    async def _outcome(
        self, running: _Running, answering: Answering, writer: TurnWriter
    ) -> str | None:
        """Answers; None when the turn is closed by now, else why it is to be closed."""
        try:
            result = await self._within_deadline(answering, writer)
            running.closing = True
            await self._complete(running.turn, answering, writer, result)
        except TurnLost:
            get_logger().warning("turn_lost", message_id=str(running.turn.message_id))
            return None
        except asyncio.CancelledError:
            if running.stop_reason is None:
                raise
            _uncancel()
            return _FAILURES[running.stop_reason]
        except TimeoutError:
            return "DEADLINE_EXCEEDED"
        except FleetError as error:
            get_logger().warning("turn_failed", reason=error.reason, error=type(error).__name__)
            return error.reason
        return None

    async def _complete(
        self, turn: Turn, answering: Answering, writer: TurnWriter, result: TurnResult
    ) -> None:
        """Commits; again when the database was away for a moment, as the answer is paid for."""
        await retry_idempotent(
            lambda: closing.complete(self._deps, turn, writer, result, asked=answering.asked),
            attempts=5,
        )

    async def _within_deadline(self, answering: Answering, writer: TurnWriter) -> TurnResult:
        limit_s = self._deps.settings.turn_deadline_s
        with deadline_in(limit_s):
            async with asyncio.timeout(limit_s):
                result = await answering.run()
                await writer.stop()
                return result

    async def _close(self, running: _Running, answering: Answering, failure: str) -> None:
        """Marks the turn as canceled or failed; the sweeper does it when this can't."""
        canceled = failure == _CANCELED
        try:
            await closing.stop_early(
                self._deps,
                running.turn,
                status="canceled" if canceled else "failed",
                error_reason="" if canceled else failure,
                answer_begun=answering.answer_begun,
            )
        except FleetError as error:
            get_logger().warning("turn_left_to_the_sweeper", error=type(error).__name__)


async def _settled(writer: TurnWriter) -> None:
    """Waits until the writer stores nothing any more; why it failed is told elsewhere."""
    try:
        await writer.stop()
    except (FleetError, TurnLost):
        get_logger().info("turn_writer_stopped")


def _uncancel() -> None:
    """Lets the task work on: it was cancelled to stop the answer, and the turn is to be closed."""
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()


def _in_flight():  # noqa: ANN202
    return gauge("fleetdesk_conversation_turns_in_flight", "Turns being answered.")
