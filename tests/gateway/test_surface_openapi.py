"""Whatever the API's description allows or forbids gets the answer that it promises."""

from pathlib import Path

import pytest
from harness.desk import Desk
from harness.openapi_runs import schemathesis

LONG = 10

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.timeout(1800)
async def test_every_operation_keeps_its_promises(desk: Desk, tmp_path: Path, examples: int):
    company = await desk.sign_up()
    # Its walk along every border of the schema makes some 2,000 cases whatever `examples` says.
    phases = ("coverage", "fuzzing") if examples >= LONG else ("fuzzing",)
    outcome = await schemathesis(desk, company, tmp_path, examples, *phases)
    print(outcome.text)
    assert outcome.code == 0, outcome.text
