"""The team: who may make whom what, and invitations that are good once."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from fakes.smtp_server import SmtpServer, smtp_server
from gateway.auth.principal import Role
from gateway.auth.tokens import sha256
from gateway.upkeep import tidy
from harness.desk import NOWHERE, PASSWORD, Company, Desk
from pydantic import SecretStr

TEAM = "/v1/team"
INVITATIONS = "/v1/team/invitations"
ROLES = ("viewer", "agent", "admin", "owner")
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(autouse=True)
def _no_limits(door: Desk) -> None:
    door.forget_limits()


class Team:
    """A company, its owner signed in, and what they do."""

    def __init__(self, desk: Desk, company: Company, owner: dict[str, str]) -> None:
        self.desk, self.company, self.owner = desk, company, owner

    async def ask(
        self, method: str, path: str, headers: dict[str, str] | None = None, **json: Any
    ) -> Any:
        return await self.desk.client.request(
            method, path, headers=headers or self.owner, json=json or None
        )

    async def members(self) -> dict[str, Any]:
        found = (await self.ask("GET", TEAM)).json()["items"]
        return {each["email"]: each for each in found}

    async def person(self, role: Role) -> tuple[str, dict[str, str]]:
        """Somebody else of the team: the id, and the headers of a session."""
        headers = await self.desk.sign_in_new(self.company, role)
        me = await self.desk.client.get("/v1/me", headers=headers)
        return me.json()["subject"], headers

    async def invite(self, email: str = "", role: str = "agent", **options: Any) -> Any:
        email = email or f"{uuid4().hex[:10]}@acme.example"
        return await self.ask("POST", INVITATIONS, email=email, role=role, **options)

    async def link(self, **options: Any) -> str:
        """The path of a new invitation's link."""
        sent = await self.invite(**options)
        assert sent.status_code == 201, sent.text
        return path_of(sent)

    async def accept(self, link: str, password: str = PASSWORD) -> Any:
        return await self.desk.client.post(link, data={"password": password})

    async def actions(self) -> list[str]:
        log = await self.desk.client.get("/v1/audit-log", headers=self.company.bearer)
        return [line["action"] for line in log.json()["items"]]


def path_of(sent: Any) -> str:
    return "/" + sent.json()["url"].split("/", 3)[3]


def reason(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["reason"]


@pytest_asyncio.fixture(loop_scope="module")
async def team(door: Desk) -> Team:
    company = await door.sign_up(company="Kettles & Sons")
    return Team(door, company, await door.sign_in(company))


@pytest_asyncio.fixture(loop_scope="module")
async def mail(door: Desk) -> AsyncIterator[SmtpServer]:
    """A mail server that the gateway uses meanwhile."""
    mailer = door.parts.mailer
    before = mailer._settings
    async with smtp_server() as server:
        mailer._settings = before.model_copy(update={"smtp_url": SecretStr(server.url)})
        yield server
    mailer._settings = before


class TestRoles:
    @pytest.mark.parametrize("target", list(Role))
    async def test_an_admin_manages_and_makes_nobody_above_an_admin(self, team, target):
        _, admin = await team.person(Role.ADMIN)
        user_id, _ = await team.person(target)
        path = f"{TEAM}/{user_id}"
        for role in ROLES:
            answer = await team.ask("PUT", path, admin, role=role)
            may = target <= Role.ADMIN and role != "owner"
            assert answer.status_code == (200 if may else 403), (role, answer.text)
            assert may or answer.json()["reason"] == "ROLE_TOO_LOW"
        may = target <= Role.ADMIN
        assert (await team.ask("DELETE", path, admin)).status_code == (204 if may else 403)

    async def test_an_owner_makes_and_removes_owners(self, team):
        user_id, _ = await team.person(Role.VIEWER)
        changed = await team.ask("PUT", f"{TEAM}/{user_id}", role="owner")
        assert (changed.json()["user_id"], changed.json()["role"]) == (user_id, "owner")
        assert (await team.ask("DELETE", f"{TEAM}/{user_id}")).status_code == 204

    async def test_nobody_raises_themselves_by_an_api_key_neither(self, team):
        admin_id, admin = await team.person(Role.ADMIN)
        for headers in (admin, team.company.bearer):
            answer = await team.ask("PUT", f"{TEAM}/{admin_id}", headers, role="owner")
            assert reason(answer) == (403, "ROLE_TOO_LOW")
            answer = await team.invite(role="owner", headers=headers)
            assert reason(answer) == (403, "ROLE_TOO_LOW")

    async def test_the_last_owner_stays_owner(self, team):
        path = f"{TEAM}/{team.company.user_id}"
        assert reason(await team.ask("PUT", path, role="admin")) == (409, "LAST_OWNER")
        assert reason(await team.ask("DELETE", path)) == (409, "LAST_OWNER")
        assert (await team.ask("PUT", path, role="owner")).status_code == 200
        await team.person(Role.OWNER)
        assert (await team.ask("PUT", path, role="admin")).json()["role"] == "admin"

    async def test_two_owners_who_remove_each_other_at_once_leave_one(self, team):
        other_id, other = await team.person(Role.OWNER)
        answers = await asyncio.gather(
            team.ask("DELETE", f"{TEAM}/{other_id}"),
            team.ask("DELETE", f"{TEAM}/{team.company.user_id}", other),
        )
        assert sorted(answer.status_code for answer in answers) in ([204, 401], [204, 409])

    async def test_another_role_holds_at_once_and_stands_in_the_audit_log(self, team):
        user_id, headers = await team.person(Role.ADMIN)
        assert (await team.ask("GET", INVITATIONS, headers)).status_code == 200
        await team.ask("PUT", f"{TEAM}/{user_id}", role="viewer")
        assert reason(await team.ask("GET", INVITATIONS, headers)) == (403, "ROLE_TOO_LOW")
        assert (await team.ask("GET", TEAM, headers)).status_code == 200
        assert (await team.actions())[0] == "user.role_changed"

    async def test_who_is_removed_is_out_at_once_and_the_email_is_free(self, team):
        link = await team.link(email="leaver@acme.example")
        await team.accept(link)
        signed_in = Company(
            team.company.tenant_id, uuid4(), team.company.agent_id, "", "leaver@acme.example"
        )
        headers = await team.desk.sign_in(signed_in)
        user_id = (await team.members())["leaver@acme.example"]["user_id"]
        assert (await team.ask("GET", "/v1/me", headers)).status_code == 200
        assert (await team.ask("DELETE", f"{TEAM}/{user_id}")).status_code == 204
        assert (await team.ask("GET", "/v1/me", headers)).status_code == 401
        body = {"email": "leaver@acme.example", "password": PASSWORD}
        assert (await team.desk.client.post("/v1/login", json=body)).status_code == 401
        assert "leaver@acme.example" not in await team.members()
        assert reason(await team.ask("DELETE", f"{TEAM}/{user_id}")) == (404, "NOT_FOUND")
        assert (await team.actions())[0] == "user.removed"
        assert (await team.desk.sign_up(email="leaver@acme.example")).tenant_id

    async def test_another_company_finds_nobody_and_no_invitation(self, team):
        user_id, _ = await team.person(Role.VIEWER)
        invited = (await team.invite()).json()["invitation"]["invitation_id"]
        stranger = await team.desk.sign_in(await team.desk.sign_up())
        for method, path in (
            ("PUT", f"{TEAM}/{user_id}"),
            ("DELETE", f"{TEAM}/{user_id}"),
            ("POST", f"{INVITATIONS}/{invited}/resend"),
            ("DELETE", f"{INVITATIONS}/{invited}"),
        ):
            body = {"role": "viewer"} if method == "PUT" else {}
            assert (await team.ask(method, path, stranger, **body)).status_code == 404
        assert [each["role"] for each in (await team.ask("GET", TEAM, stranger)).json()["items"]]
        assert (await team.ask("GET", INVITATIONS, stranger)).json()["items"] == []


class TestList:
    async def test_says_who_when_and_when_last_seen(self, team):
        never, _ = await team.person(Role.VIEWER)
        async with team.desk.gateway.db.tenant(team.company.tenant_id) as conn:
            forgotten = "update user_account set last_seen_time = null where user_id = %s"
            await conn.execute(forgotten, [never])
        owner, viewer = (await team.members()).values()
        assert (owner["email"], owner["role"]) == (team.company.email, "owner")
        assert owner["last_seen_time"] >= owner["create_time"]
        assert (viewer["user_id"], viewer["last_seen_time"]) == (never, None)

    async def test_comes_in_pages(self, team):
        for _ in range(2):
            await team.person(Role.VIEWER)
            await team.invite()
        for path, there in ((TEAM, 3), (INVITATIONS, 2)):
            token, seen = "", 0
            while token or not seen:
                page = await team.ask("GET", f"{path}?page_size=1&page_token={token}")
                seen, token = seen + len(page.json()["items"]), page.json()["next_page_token"]
            assert seen == there


class TestInvitations:
    async def test_a_link_is_accepted_once_with_a_password(self, team):
        email = f"{uuid4().hex[:10]}@acme.example"
        link = await team.link(email=f" {email.upper()} ", role="agent")
        shown = await team.desk.client.get(link)
        assert "Kettles &amp; Sons" in shown.text
        assert email in shown.text
        weak = await team.accept(link, "short")
        assert (weak.status_code, "use at least 10" in weak.text) == (400, True), weak.text
        joined = await team.accept(link)
        assert joined.headers["location"] == "/"
        cookie = f"fleetdesk_session={joined.cookies['fleetdesk_session']}"
        me = (await team.desk.client.get("/v1/me", headers={"Cookie": cookie})).json()
        assert (me["email"], me["role"]) == (email, "agent")
        assert me["tenant_id"] == str(team.company.tenant_id)
        team.desk.client.cookies.clear()
        assert (await team.accept(link)).status_code == 404
        assert (await team.desk.client.get(link)).status_code == 404
        assert (await team.actions())[:3] == ["user.signed_in", "user.joined", "invitation.created"]

    async def test_two_who_accept_at_once_make_one_account(self, team):
        link = await team.link()
        answers = await asyncio.gather(team.accept(link), team.accept(link))
        team.desk.client.cookies.clear()
        assert sorted(answer.status_code for answer in answers) == [303, 404]

    async def test_a_link_expires_after_seven_days_and_is_tidied_away_a_month_later(self, team):
        link = await team.link()
        await moved(team, timedelta(days=7))
        assert (await team.desk.client.get(link)).status_code == 404
        assert (await team.accept(link)).status_code == 404
        (item,) = (await team.ask("GET", INVITATIONS)).json()["items"]
        sent = await team.ask("POST", f"{INVITATIONS}/{item['invitation_id']}/resend")
        assert (await team.desk.client.get(path_of(sent))).status_code == 200
        await moved(team, timedelta(days=38))
        await tidy(team.desk.gateway.db)
        assert (await team.ask("GET", INVITATIONS)).json()["items"] == []
        assert await credentials(team) == []

    async def test_sent_again_the_first_link_opens_nothing(self, team):
        sent = await team.invite()
        path = f"{INVITATIONS}/{sent.json()['invitation']['invitation_id']}"
        again = await team.ask("POST", f"{path}/resend")
        assert (await team.desk.client.get(path_of(sent))).status_code == 404
        assert (await team.desk.client.get(path_of(again))).status_code == 200
        assert (await team.ask("DELETE", path)).status_code == 204
        assert (await team.desk.client.get(path_of(again))).status_code == 404
        assert (await team.actions())[:2] == ["invitation.withdrawn", "invitation.resent"]
        assert await credentials(team) == []

    async def test_the_token_is_kept_as_a_hash_only(self, team):
        link = await team.link()
        digest = sha256(link.rpartition("/")[2])
        (row,) = await team.desk.gateway.rows(
            "select * from invitation where tenant_id = %s", team.company.tenant_id
        )
        assert row["token_sha256"] == digest
        assert await credentials(team) == [digest]

    async def test_members_and_the_invited_are_not_invited_again(self, team):
        assert reason(await team.invite(email=team.company.email)) == (409, "ALREADY_MEMBER")
        assert (await team.invite(email="twice@acme.example")).status_code == 201
        assert reason(await team.invite(email="Twice@acme.example")) == (409, "ALREADY_INVITED")
        answer = await team.invite(email="nobody")
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "email")

    async def test_who_has_an_account_elsewhere_is_known_to_whoever_opens_the_link_only(self, team):
        other = await team.desk.sign_up()
        sent, unknown = await team.invite(email=other.email), await team.invite()
        assert sent.status_code == unknown.status_code == 201
        assert sent.json()["invitation"].keys() == unknown.json()["invitation"].keys()
        answer = await team.accept(path_of(sent))
        assert answer.status_code == 409
        assert "has an account in another company" in answer.text
        assert (await team.desk.sign_in(other))["Cookie"]
        assert other.email not in await team.members()

    async def test_an_admin_leaves_invitations_of_owners_alone(self, team):
        sent = await team.invite(role="owner")
        path = f"{INVITATIONS}/{sent.json()['invitation']['invitation_id']}"
        for method, address in (("POST", f"{path}/resend"), ("DELETE", path)):
            answer = await team.ask(method, address, team.company.bearer)
            assert reason(answer) == (403, "ROLE_TOO_LOW")

    async def test_a_team_and_its_mails_have_an_end(self, team, monkeypatch):
        from gateway import invitations

        monkeypatch.setattr(invitations, "MAX_PEOPLE", 1)
        assert reason(await team.invite()) == (409, "TEAM_FULL")
        for _ in range(invitations._BY_TENANT.count - 1):
            team.desk.parts.limiter.hit(invitations._BY_TENANT, str(team.company.tenant_id))
        assert reason(await team.invite()) == (429, "RATE_LIMITED")

    async def test_the_company_that_is_erased_takes_its_invitations_along(self, team):
        link = await team.link()
        asked = await team.desk.client.request(
            "DELETE", "/v1/tenant", headers=team.owner, params={"confirm": "Kettles & Sons"}
        )
        assert asked.status_code == 202, asked.text
        assert (await team.desk.client.get(link)).status_code == 404


class TestMail:
    async def test_a_mailed_link_is_told_to_nobody_else_and_proves_the_address(self, team, mail):
        sent = (await team.invite(email="new@acme.example")).json()
        assert (sent["url"], sent["invitation"]["mailed"]) == (None, True)
        (message,) = mail.received
        assert message["To"] == "new@acme.example"
        assert message["From"] == "fleetdesk@localhost"
        assert message["Subject"] == "Kettles & Sons invites you to its support desk"
        text = message.get_content()
        assert team.company.email in text
        link = next(line for line in text.splitlines() if "/invitations/" in line)
        await team.accept("/" + link.split("/", 3)[3])
        team.desk.client.cookies.clear()
        (row,) = await team.desk.gateway.rows(
            "select verify_time from user_account where email = 'new@acme.example'"
        )
        assert row["verify_time"]

    async def test_what_the_server_refuses_is_told_to_who_invites(self, team, mail):
        mail.refused.add("gone@acme.example")
        sent = (await team.invite(email="gone@acme.example")).json()
        assert sent["url"].startswith(team.desk.gateway.http_url)
        assert not sent["invitation"]["mailed"]

    @pytest.mark.parametrize(
        "changed",
        [
            {"smtp_url": SecretStr(f"smtp://{NOWHERE}")},
            {"smtp_url": SecretStr(f"smtps://{NOWHERE}")},
            {"environment": "production"},
        ],
        ids=["no server", "none that speaks TLS", "none that can be trusted in production"],
    )
    async def test_so_is_that_there_is_no_server_for_it(self, team, mail, changed):
        mailer = team.desk.parts.mailer
        mailer._settings = mailer._settings.model_copy(update=changed)
        assert (await team.invite()).json()["url"]
        assert mail.received == []

    async def test_a_domain_in_another_script_is_written_as_mail_servers_know_it(self, team, mail):
        await team.invite(email="anna@münchen.example")
        assert mail.received[0]["To"] == "anna@xn--mnchen-3ya.example"

    async def test_without_one_it_goes_to_the_console(self, team, capsys):
        sent = (await team.invite(email="near@acme.example")).json()
        said = capsys.readouterr().out
        assert "near@acme.example" in said
        assert sent["url"] in said


async def moved(team: Team, span: timedelta) -> None:
    """As if the company's invitations were made that much earlier."""
    async with team.desk.gateway.db.tenant(team.company.tenant_id) as conn:
        await conn.execute("update invitation set expire_time = expire_time - %s", [span])


async def credentials(team: Team) -> list[bytes]:
    rows = await team.desk.gateway.rows(
        "select sha256 from credential_index where kind = 'invitation' and tenant_id = %s",
        team.company.tenant_id,
    )
    return [row["sha256"] for row in rows]
