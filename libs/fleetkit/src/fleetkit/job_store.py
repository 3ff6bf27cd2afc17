"""The rows of durable jobs: every statement on table `job` but the enqueueing one."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString
from uuid import UUID

from fleetkit.postgres.database import Database

# A claimed job goes back to the queue, unless one like it was queued meanwhile; what else changes
# stands between the two.
_QUEUE_AGAIN: LiteralString = (
    "with twin as (select from job where tenant_id = %(tenant_id)s and kind = %(kind)s"
    "   and subject_id = %(subject_id)s and state = 'queued'),"
    " dropped as (delete from job where tenant_id = %(tenant_id)s"
    "   and job_id = %(job_id)s and lease_id = %(lease_id)s and exists (select from twin))"
    " update job set state = 'queued', lease_id = null, lease_until = null, "
)
_UNLESS_QUEUED: LiteralString = (
    " where tenant_id = %(tenant_id)s and job_id = %(job_id)s"
    "  and lease_id = %(lease_id)s and not exists (select from twin)"
)


@dataclass(frozen=True, slots=True)
class Job:
    """A claimed job; `attempts` counts from 1, `payload` holds ids only."""

    job_id: UUID
    tenant_id: UUID
    kind: str
    subject_id: UUID
    payload: dict[str, Any]
    attempts: int
    lease_id: UUID


async def claim(
    db: Database, kinds: list[str], now: datetime, lease_s: float, limit: int
) -> list[Job]:
    """Claims due jobs, and those whose lease has ended: of each tenant its oldest.

    Tenants take turns: the one with the fewest running is next, so that a thousand jobs of one
    do not hold up the first of another.
    """
    rows = await db.fleet_call(
        # From tenant to tenant by the index, however many jobs each has.
        "with recursive waiting as ("
        "  (select tenant_id from job where state = 'queued'"
        "    and exists (select from job where state = 'queued' and run_at <= %(now)s"
        "      and kind = any(%(kinds)s))"
        "   order by tenant_id limit 1)"
        "  union all"
        "  select (select tenant_id from job where state = 'queued'"
        "    and tenant_id > waiting.tenant_id order by tenant_id limit 1)"
        "  from waiting where waiting.tenant_id is not null),"
        " ranked as ("
        "  select oldest.job_id, oldest.run_at, busy.jobs + oldest.place as turn"
        "  from waiting, lateral ("
        "    select count(*) as jobs from job where tenant_id = waiting.tenant_id"
        "     and state = 'running' and kind = any(%(kinds)s)) busy, lateral ("
        "    select candidate.job_id, candidate.run_at,"
        "     row_number() over (order by candidate.run_at) as place"
        "    from job candidate where candidate.tenant_id = waiting.tenant_id"
        "     and candidate.state = 'queued' and candidate.run_at <= %(now)s"
        "     and candidate.kind = any(%(kinds)s)"
        "     and not exists (select from job other"
        "       where other.tenant_id = candidate.tenant_id and other.kind = candidate.kind"
        "        and other.subject_id = candidate.subject_id and other.state = 'running')"
        "    order by candidate.run_at limit %(limit)s) oldest"
        "  union all"
        "  select job_id, run_at, 0 from job where state = 'running' and lease_until < now()"
        "   and kind = any(%(kinds)s)"
        "   and not exists (select from job other"
        "     where other.tenant_id = job.tenant_id and other.kind = job.kind"
        "      and other.subject_id = job.subject_id"
        "      and other.state = 'running' and other.job_id <> job.job_id)),"
        " due as ("
        "  select job.job_id from job join ranked on ranked.job_id = job.job_id"
        "  where job.state = 'queued' or job.lease_until < now()"
        "  order by ranked.turn, ranked.run_at limit %(limit)s for update of job skip locked)"
        " update job set state = 'running', attempts = attempts + 1,"
        "  lease_id = gen_random_uuid(),"
        "  lease_until = now() + make_interval(secs => %(lease_s)s)"
        " from due where job.job_id = due.job_id"
        " returning job.job_id, tenant_id, kind, subject_id, payload, attempts, lease_id",
        {"kinds": kinds, "now": now, "lease_s": lease_s, "limit": limit},
    )
    return [Job(*row) for row in rows]


async def extend(db: Database, job: Job, lease_s: float) -> bool:
    """Extends the lease by `lease_s` from now; False when it is no longer this one's."""
    extended = await db.fleet_call(
        "update job set lease_until = now() + make_interval(secs => %(lease_s)s)"
        " where tenant_id = %(tenant_id)s and job_id = %(job_id)s and lease_id = %(lease_id)s"
        " returning job_id",
        {"lease_s": lease_s, **_claimed(job)},
    )
    return bool(extended)


async def finish(db: Database, job: Job) -> None:
    """Removes a job that was done, unless its lease went to another."""
    await db.fleet_call(
        "delete from job"
        " where tenant_id = %(tenant_id)s and job_id = %(job_id)s and lease_id = %(lease_id)s",
        _claimed(job),
    )


async def retry(db: Database, job: Job, error: str, run_at: datetime) -> None:
    """Queues the job again, unless one like it was queued meanwhile: that one will do."""
    await db.fleet_call(
        _QUEUE_AGAIN + "run_at = %(run_at)s, last_error = %(error)s" + _UNLESS_QUEUED,
        {**_claimed(job), "run_at": run_at, "error": error},
    )


async def give_up(db: Database, job: Job, error: str) -> None:
    """Marks the job as dead; it stays as a row, for people."""
    await db.fleet_call(
        "update job set state = 'dead', last_error = %(error)s, lease_id = null,"
        "  lease_until = null"
        " where tenant_id = %(tenant_id)s and job_id = %(job_id)s and lease_id = %(lease_id)s",
        {"error": error, **_claimed(job)},
    )


async def release(db: Database, job: Job) -> None:
    """Hands a job back as it was claimed; one that ended meanwhile is not there any more."""
    await db.fleet_call(_QUEUE_AGAIN + "attempts = attempts - 1" + _UNLESS_QUEUED, _claimed(job))


def _claimed(job: Job) -> dict[str, Any]:
    """What names the job, and the lease that it was claimed by."""
    return {
        "tenant_id": job.tenant_id,
        "kind": job.kind,
        "subject_id": job.subject_id,
        "job_id": job.job_id,
        "lease_id": job.lease_id,
    }
