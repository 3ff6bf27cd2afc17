"""Schemathesis over the API: cases made from the description, sent over the network and judged."""

import asyncio
import itertools
import json
import sys
from dataclasses import dataclass
from pathlib import Path

from gateway.auth.principal import Role

from harness.asking import answered
from harness.desk import Company, Desk

# What would take the run's own ground away, and why it is left out; each has its own tests.
LEFT_OUT = {
    "DELETE /v1/tenant": "erases the company that asks",
    "DELETE /v1/api-keys/{key_id}": "revokes the key that asks: the list tells the run its id",
    "POST /v1/logout": "ends the session that asks",
    "PUT /v1/settings/provider-keys": "asks a provider outside whether it takes the key",
    "GET /v1/conversations/{conversation_id}/events": "goes on until the conversation is resolved",
}
# What JSON Schema has no words for, so that a request that keeps to the description may be refused
# all the same. Everything else that the description allows must be taken.
_TIMES = "no schema compares two values: from is before to, by at most 366 days"
_LADDER = (
    "models are those that are served here, which configuration says; no schema compares two "
    "values: the hand-off threshold is at most the answer's, no model stands twice"
)
MORE_THAN_SCHEMA = {
    "GET /v1/analytics/caching": _TIMES,
    "GET /v1/analytics/costs": f"{_TIMES}; split_by is another key than group_by",
    "GET /v1/analytics/kpis": _TIMES,
    "GET /v1/analytics/savings": _TIMES,
    "GET /v1/billing/usage": "no schema bounds a time: it is in a year from 2000 to 9998",
    "GET /v1/conversations": "a page token carries a checksum of the list that it continues",
    "GET /v1/costs/export": _TIMES,
    "POST /v1/agents": _LADDER,
    "POST /v1/api-keys": "what is ahead of now is no format: an expiry is",
    "POST /v1/conversations": "a visitor's proof is signed with the agent's secret",
    "POST /v1/conversations/{conversation_id}/frames": "a picture is one that can be opened",
    "POST /v1/knowledge/evaluations": "the documents are there; a CSV has its columns",
    "POST /v1/knowledge/experiments": "a fusion and a reranker are of those that can be tried here",
    "POST /v1/knowledge/sources": "a file is of a kind that can be read, whatever it says it is; "
    "an address is one of the internet",
    "POST /v1/signup": "an e-mail address is one that could get mail; a password is not it",
    "POST /v1/team/invitations": "an e-mail address is one that could get mail",
    "PUT /v1/agents/{agent_id}": _LADDER,
    "PUT /v1/costs/budgets/{budget_id}": "what a budget limits stays as it is",
    "PUT /v1/costs/prices": "a tier prices each kind of unit that the price book prices",
    "PUT /v1/costs/time-zone": "the list of time zones grows: it is IANA's",
}
# What may break the description and is taken all the same: what was wrong stands in the answer.
ANSWERED_WITHIN = {
    "POST /v1/knowledge/sources:batch": "each source is taken or refused by itself",
}
# 412: the revision is not the last one. 422: the Idempotency-Key came with another body before.
_TAKEN = ["2xx", "3xx", "401", "403", "404", "409", "412", "413", "422", "429"]
_REFUSED = [str(status) for status in (400, 401, 403, 404, 405, 409, 412, 413, 414, 415, 422, 431)]
_HOUR_S = 3600


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended: 0 is without a finding; what it printed says the rest."""

    code: int
    text: str


def without_limits(desk: Desk) -> None:
    """Every look at the limiter's clock is an hour later, so that nobody has ever asked often.

    Limits have their own tests; here they would hide what is behind them.
    """
    desk.forget_limits()
    desk.parts.limiter._monotonic = itertools.count(step=_HOUR_S).__next__


async def schemathesis(
    desk: Desk, company: Company, folder: Path, examples: int, *phases: str
) -> Outcome:
    """Runs all checks over all operations but LEFT_OUT; the same cases every time."""
    without_limits(desk)
    config = folder / "schemathesis.toml"
    config.write_text(await _config(desk, company))
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("schemathesis")),
        f"--config-file={config}",
        "run",
        f"{desk.gateway.http_url}/openapi.json",
        f"--phases={','.join(phases)}",
        f"--max-examples={examples}",
        "--generation-deterministic",
        "--generation-with-security-parameters=false",
        "--seed=1",
        "--continue-on-failure",
        "--no-color",
        "--no-shrink",
        "--request-timeout=30",
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    return Outcome(process.returncode or 0, said.decode())


async def _colleague(desk: Desk, company: Company) -> str:
    """Somebody whom the key may manage."""
    viewer = await desk.sign_in_new(company, Role.VIEWER)
    return (await desk.client.get("/v1/me", headers=viewer)).json()["subject"]


async def _config(desk: Desk, company: Company) -> str:
    """Who asks, and ids that are there beside ids that are not."""
    conversation_id, visitor = await desk.begin(company)
    await answered(desk, conversation_id, visitor, "How long do I have to return a board?")
    document_id = await desk.teach(company, "Returns", "Send it back within 30 days.")
    sources = await desk.client.get("/v1/knowledge/sources", headers=company.bearer)
    pair = {"question": "How long do I have?", "documents": [document_id]}
    made = await desk.client.post(
        "/v1/knowledge/evaluations", json={"questions": [pair]}, headers=company.bearer
    )
    ids = {
        "evaluation_id": made.json()["evaluation_id"],
        "agent_id": str(company.agent_id),
        "conversation_id": conversation_id,
        "document_id": document_id,
        "source_id": sources.json()["items"][0]["source_id"],
        "user_id": await _colleague(desk, company),
    }
    lines = [
        f"headers = {{ Authorization = {json.dumps(company.bearer['Authorization'])} }}",
        *(f"[dictionaries.{name}]\nvalues = [{json.dumps(value)}]" for name, value in ids.items()),
        "[parameters]",
    ]
    lines += [f'"path.{name}" = {{ dictionary = "{name}", probability = 0.8 }}' for name in ids]
    lines += [f'[[operations]]\ninclude-name = "{name}"\nenabled = false' for name in LEFT_OUT]
    # A run whose key is refused would find nothing wrong.
    lines.insert(1, 'warnings.fail-on = ["missing_auth"]')
    for check, statuses in (
        ("negative_data_rejection", _REFUSED),
        ("positive_data_acceptance", _TAKEN),
    ):
        lines.insert(1, f"checks.{check}.expected-statuses = {json.dumps(statuses)}")
    lines += [
        f'[[operations]]\ninclude-name = "{name}"\n'
        f"checks.positive_data_acceptance.expected-statuses = {json.dumps([*_TAKEN, '400'])}"
        for name in MORE_THAN_SCHEMA
    ]
    lines += [
        f'[[operations]]\ninclude-name = "{name}"\n'
        f"checks.negative_data_rejection.expected-statuses = {json.dumps([*_REFUSED, '200'])}"
        for name in ANSWERED_WITHIN
    ]
    return "\n".join(lines)
