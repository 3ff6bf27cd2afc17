"""Keys of tenants' own: sealed, tried when set, theirs alone, and marked on the ledger."""

from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest
from fakes.anthropic_server import FakeAnthropic
from fakes.cohere_server import fake_cohere
from fakes.faults import Failure
from fakes.openai_server import FakeOpenAi
from fakes.scripting import ScriptedServer
from fakes.voyage_server import fake_voyage
from fleetdesk.llm_gateway.v1 import events_pb2
from fleetdesk.llm_gateway.v1 import llm_gateway_service_pb2 as llm_pb
from fleetdesk.llm_gateway.v1 import model_settings_service_pb2 as pb
from fleetdesk.llm_gateway.v1.llm_gateway_service_pb2_grpc import LlmGatewayServiceStub
from fleetdesk.llm_gateway.v1.model_settings_service_pb2_grpc import ModelSettingsServiceStub
from fleetkit.errors import FailedPrecondition, InvalidArgument, ResourceExhausted, Unavailable
from fleetkit.vault import Vault
from harness.access import assert_refuses_strangers
from harness.answers import ROUTER, ask, asking, passage
from harness.services import Running
from llm_gateway import pricing
from llm_gateway.budgets import NewBudget, create_budget
from llm_gateway.config import OpenAiEndpoint
from llm_gateway.pricing import PriceBook
from llm_gateway.providers.keyed import KeyedProviders
from llm_gateway.tenant_keys import TenantKeys, reseal_all
from llm_gateway.tenant_settings import TenantSettings
from pydantic import SecretStr

As = Callable[..., Any]
SERVICE = "fleetdesk.llm_gateway.v1.ModelSettingsService"
HAIKU = "anthropic/claude-haiku-5-5"
MINI = "openai/gpt-4o-mini"
KEY = "sk-tenants-own-1234"


@pytest.fixture
async def running(start: Any, claude: FakeAnthropic) -> Running:
    """The fleet has a key of its own at Anthropic."""
    return await start(
        embed_workers=0,
        anthropic_api_key="sk-fleets",
        anthropic_base_url=claude.url,
        answer_model=HAIKU,
    )


@pytest.fixture
def settings(running: Running) -> Any:
    return running.stub(ModelSettingsServiceStub, caller="gateway")


@pytest.fixture
def admin(as_identity: As, tenant_id: UUID) -> Any:
    return lambda tenant=tenant_id: as_identity(tenant, role="admin")


def of(provider: str, api_key: str = KEY) -> pb.SetProviderKeyRequest:
    return pb.SetProviderKeyRequest(provider=provider, api_key=api_key)


class TestKeys:
    async def test_strangers_neither_read_nor_set_them(self, running: Running) -> None:
        for method, request in {
            "ListProviderKeys": pb.ListProviderKeysRequest(),
            "SetProviderKey": of("anthropic"),
            "DeleteProviderKey": pb.DeleteProviderKeyRequest(provider="anthropic"),
        }.items():
            await assert_refuses_strangers(running, f"{SERVICE}.{method}", request)

    async def test_takes_its_tenants_calls_and_is_marked(
        self,
        running: Running,
        stub: Any,
        settings: Any,
        admin: Any,
        as_background: As,
        claude: FakeAnthropic,
        tenant_id: UUID,
        capfd: Any,
    ) -> None:
        other, question = uuid4(), asking("Ports?", passage(ROUTER))
        with admin():
            made = await settings.SetProviderKey(of("anthropic"))
            listed = await settings.ListProviderKeys(pb.ListProviderKeysRequest())
        assert (made.key.provider, made.key.last_four) == ("anthropic", "1234")
        assert list(listed.keys) == [made.key]
        assert "anthropic" in listed.providers
        with admin(other):
            assert not (await settings.ListProviderKeys(pb.ListProviderKeysRequest())).keys
        for tenant in (tenant_id, other):
            with as_background(tenant):
                await ask(stub, question)
        with as_background(tenant_id):
            await stub.Complete(llm_pb.CompleteRequest(prompt="Say ports.", model=HAIKU))
        assert claude.keys == [KEY, "sk-fleets", KEY]
        for table in ("usage_call", "usage_entry"):
            rows = await running.rows(f"select distinct tenant_id, paid_by from {table}")  # noqa: S608
            paid = {(row["tenant_id"], row["paid_by"]) for row in rows}
            assert paid == {(tenant_id, "tenant"), (other, "fleet")}
        told = await running.events(events_pb2.UsageRecorded)
        assert [event["entries"][0]["paidBy"] for event in told] == ["tenant", "fleet", "tenant"]
        with admin():
            await settings.DeleteProviderKey(pb.DeleteProviderKeyRequest(provider="anthropic"))
        with as_background(tenant_id):
            await ask(stub, question)
        assert claude.keys[-1] == "sk-fleets"
        assert await running.rows("select from provider_key") == []
        logged = capfd.readouterr()
        assert KEY not in logged.out + logged.err

    async def test_one_that_its_provider_refuses_is_not_kept(
        self, running: Running, settings: Any, admin: Any, claude: FakeAnthropic
    ) -> None:
        with admin():
            with pytest.raises(InvalidArgument) as refused:
                await settings.SetProviderKey(of("anthropic", "wrong"))
            assert refused.value.field == "api_key"
            for provider, key in (("anthropic", "with space"), ("nobody", KEY)):
                with pytest.raises(InvalidArgument):
                    await settings.SetProviderKey(of(provider, key))
            await claude.stop()
            with pytest.raises(Unavailable):
                await settings.SetProviderKey(of("anthropic"))
        assert await running.rows("select from provider_key") == []

    async def test_a_bad_key_opens_no_circuit_but_its_own(
        self,
        running: Running,
        stub: Any,
        settings: Any,
        admin: Any,
        as_background: As,
        as_identity: As,
        claude: FakeAnthropic,
        tenant_id: UUID,
    ) -> None:
        question, other = asking("Ports?", passage(ROUTER)), uuid4()
        with admin():
            await settings.SetProviderKey(of("anthropic"))
        await claude.stop()
        for _ in range(5):
            with as_background(tenant_id), pytest.raises(Unavailable):
                await ask(stub, question)
        for tenant, open_ in ((tenant_id, True), (other, False)):
            with as_background(tenant), pytest.raises(Unavailable) as refused:
                await ask(stub, question)
            assert (refused.value.reason == "MODELS_COOLING_DOWN") is open_

    async def test_budgets_count_its_calls(
        self,
        running: Running,
        stub: Any,
        settings: Any,
        admin: Any,
        as_background: As,
        tenant_id: UUID,
    ) -> None:
        new = NewBudget("tenant", None, "day", 1, hard=True)
        await create_budget(running.db, running.rt.clock, tenant_id, new)
        with admin():
            await settings.SetProviderKey(of("anthropic"))
        with as_background(tenant_id), pytest.raises(ResourceExhausted):
            await ask(stub, asking("Ports?", passage(ROUTER)))


class TestSealing:
    async def test_is_sealed_anew_by_another_key(self, running: Running, tenant_id: UUID) -> None:
        """One whose sealing key is gone is left out, so that the fleet's takes the calls."""
        old, new = f"k1:{'A' * 43}=", f"k2:{'E' * 43}="
        keyed = KeyedProviders(running.rt.settings, pricing.load())
        running.rt.on_close(keyed.close)

        def keys(secrets_key: str) -> TenantKeys:
            vault = Vault.of(SecretStr(secrets_key), running.rt.keyring)
            decided = TenantSettings(running.db)
            return TenantKeys(running.db, running.rt.clock, vault, decided, keyed)

        await keys(old).set(tenant_id, "anthropic", KEY)
        (row,) = await running.rows("select sealed, secrets_key_id from provider_key")
        assert (row["secrets_key_id"], KEY.encode() in row["sealed"]) == ("k1", False)
        assert await keys(new).of(tenant_id) == {}
        assert await reseal_all(running.db, keys(new)) == 0
        assert await reseal_all(running.db, keys(f"{new},{old}")) == 1
        assert await reseal_all(running.db, keys(f"{new},{old}")) == 0
        assert [*await keys(new).of(tenant_id)] == ["anthropic"]


async def test_who_has_a_key_has_providers_that_the_fleet_has_not(
    start: Any,
    claude: FakeAnthropic,
    openai: FakeOpenAi,
    as_identity: As,
    as_background: As,
    tenant_id: UUID,
) -> None:
    running = await start(
        embed_workers=0,
        anthropic_base_url=claude.url,
        openai_endpoints=(OpenAiEndpoint(name="openai", base_url=openai.url),),
        answer_model=MINI,
    )
    stub = running.stub(LlmGatewayServiceStub, caller="conversation")
    gateway = running.stub(LlmGatewayServiceStub, caller="gateway")
    settings = running.stub(ModelSettingsServiceStub, caller="gateway")
    with as_identity(tenant_id, role="admin"):
        for provider in ("anthropic", "openai"):
            await settings.SetProviderKey(of(provider))
        models = (await gateway.ListModels(llm_pb.ListModelsRequest())).models
    assert {HAIKU, MINI} <= {model.model for model in models}
    with as_background(tenant_id):
        for model in (HAIKU, MINI):
            await ask(stub, asking("Ports?", passage(ROUTER), model=model))
    assert (claude.keys, openai.keys) == ([KEY], [KEY])
    with as_background(uuid4()), pytest.raises(FailedPrecondition):
        await ask(stub, asking("Ports?", passage(ROUTER), model=HAIKU))


class TestEmbeddingAndReranking:
    VOYAGE, COHERE = "voyage/voyage-4", "cohere/rerank-4-fast"
    OWN = "right-of-the-tenants"

    @pytest.fixture
    async def servers(self) -> AsyncIterator[dict[str, ScriptedServer]]:
        fakes = {"cohere": fake_cohere(), "voyage": fake_voyage()}
        for fake in fakes.values():
            await fake.start()
        yield fakes
        for fake in fakes.values():
            await fake.stop()

    @pytest.fixture
    async def running(
        self,
        start: Any,
        claude: FakeAnthropic,
        openai: FakeOpenAi,
        servers: dict[str, ScriptedServer],
    ) -> Running:
        """The fleet has a key of its own at Anthropic and Cohere, and none at the others."""
        return await start(
            embed_workers=0,
            anthropic_api_key="sk-fleets",
            anthropic_base_url=claude.url,
            openai_endpoints=tuple(
                OpenAiEndpoint(name=name, base_url=openai.url) for name in ("gemini", "openai")
            ),
            answer_model=HAIKU,
            cohere_api_key="right",
            cohere_base_url=servers["cohere"].url,
            voyage_base_url=f"{servers['voyage'].url}/v1",
        )

    @pytest.fixture
    def retrieval(self, running: Running) -> Any:
        return running.stub(LlmGatewayServiceStub, caller="retrieval")

    def embed(self) -> llm_pb.EmbedRequest:
        return llm_pb.EmbedRequest(texts=["a b"], kind=llm_pb.EMBED_KIND_QUERY, model=self.VOYAGE)

    def rerank(self, model: str) -> llm_pb.RerankRequest:
        documents = [llm_pb.RerankDocument(text=text) for text in ("red cable", "a cat")]
        return llm_pb.RerankRequest(query="red", documents=documents, model=model)

    async def test_go_by_their_tenants_key_and_are_marked(
        self,
        running: Running,
        retrieval: Any,
        settings: Any,
        admin: Any,
        as_background: As,
        servers: dict[str, ScriptedServer],
        tenant_id: UUID,
    ) -> None:
        other = uuid4()
        with admin():
            for provider in ("cohere", "voyage"):
                with pytest.raises(InvalidArgument) as refused:
                    await settings.SetProviderKey(of(provider, "wrong-key"))
                assert refused.value.reason == "KEY_REFUSED"
                await settings.SetProviderKey(of(provider, self.OWN))
        for server in servers.values():
            server.keys.clear()
        with as_background(tenant_id):
            await retrieval.Embed(self.embed())
            for model in (self.COHERE, "voyage/rerank-2.5-lite"):
                await retrieval.Rerank(self.rerank(model))
        with as_background(other):
            await retrieval.Rerank(self.rerank(self.COHERE))
            with pytest.raises(FailedPrecondition) as unknown:
                await retrieval.Embed(self.embed())
        assert unknown.value.reason == "PROVIDER_NOT_CONFIGURED"
        assert servers["voyage"].keys == [self.OWN] * 2
        assert servers["cohere"].keys == [self.OWN, "right"]
        rows = await running.rows("select tenant_id, kind, paid_by from usage_entry")
        assert {(row["tenant_id"], row["kind"], row["paid_by"]) for row in rows} == {
            (tenant_id, "embedding_token", "tenant"),
            (tenant_id, "rerank_search", "tenant"),
            (other, "rerank_search", "fleet"),
            (tenant_id, "rerank_token", "tenant"),
        }
        assert len(rows) == 4

    async def test_one_that_is_not_taken_any_more_is_never_replaced_by_the_fleets(
        self,
        running: Running,
        retrieval: Any,
        settings: Any,
        admin: Any,
        as_background: As,
        as_identity: As,
        servers: dict[str, ScriptedServer],
        tenant_id: UUID,
    ) -> None:
        other = uuid4()
        with admin():
            await settings.SetProviderKey(of("cohere", self.OWN))
        for _ in range(12):
            servers["cohere"].script(Failure(401, "scripted"))
            with as_background(tenant_id), pytest.raises(FailedPrecondition) as refused:
                await retrieval.Rerank(self.rerank(self.COHERE))
            assert refused.value.reason == "PROVIDER_CREDENTIALS"
        assert "right" not in servers["cohere"].keys
        with as_background(other):
            await retrieval.Rerank(self.rerank(self.COHERE))
        with as_identity(other, role="viewer"):
            health = await settings.ListModelHealth(pb.ListModelHealthRequest())
        (model,) = health.models
        assert (model.model, model.calls, model.failures) == (self.COHERE, 1, 0)

    async def test_one_that_is_not_taken_any_more_says_where_to_change_it(
        self,
        retrieval: Any,
        stub: Any,
        settings: Any,
        admin: Any,
        as_background: As,
        claude: FakeAnthropic,
        openai: FakeOpenAi,
        servers: dict[str, ScriptedServer],
        tenant_id: UUID,
    ) -> None:
        """Not the operator's setting, which is no use to a tenant."""
        unknown = Failure(401, "invalid_api_key")
        question = partial(asking, "Ports?", passage(ROUTER))
        calls = {
            "anthropic": (claude, lambda: ask(stub, question(model=HAIKU))),
            "gemini": (openai, lambda: ask(stub, question(model="gemini/gemini-3.8-flash"))),
            "openai": (openai, lambda: ask(stub, question(model=MINI))),
            "cohere": (servers["cohere"], lambda: retrieval.Rerank(self.rerank(self.COHERE))),
            "voyage": (servers["voyage"], lambda: retrieval.Embed(self.embed())),
        }
        for provider, (server, call) in calls.items():
            with admin():
                await settings.SetProviderKey(of(provider, self.OWN))
            server.script(unknown)
            with as_background(tenant_id), pytest.raises(FailedPrecondition) as refused:
                await call()
            assert refused.value.reason == "PROVIDER_CREDENTIALS"
            assert refused.value.message == (
                f"{provider} does not take your own key, or its account has no credit left:"
                " set another one under Settings → Models → Your own keys"
            )

    async def test_a_price_book_without_the_providers_models_is_no_fault_of_a_key(
        self, running: Running
    ) -> None:
        keyed = KeyedProviders(running.rt.settings, PriceBook("empty", {}))
        running.rt.on_close(keyed.close)
        made = await keyed.of("voyage", self.OWN)
        with pytest.raises(FailedPrecondition) as refused:
            await made.check()
        assert refused.value.reason == "UNPRICED_MODEL"
