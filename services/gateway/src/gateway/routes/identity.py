"""Signing up, in and out, and who one is."""

from litestar import Response
from litestar.handlers import HTTPRouteHandler
from litestar.params import JSONBody

from gateway.access import ANY_SCOPE, Access, endpoint
from gateway.auth import sign_in as signing_in
from gateway.auth.principal import Role
from gateway.auth.tokens import csrf_token_of, sha256
from gateway.cookies import cookie_name, ended_cookie, read_cookie, session_cookie
from gateway.parts import GatewayRequest, parts_of
from gateway.rate_limits import Limit
from gateway.requests import client_ip_of
from gateway.shapes.identity import LoginRequest, LoginResponse, Me, SignUpRequest, SignUpResponse
from gateway.sign_up import sign_up

_TAGS = ["Identity"]
# Beside the limit by address: many addresses may try one person's password.
_BY_EMAIL = Limit("login-email", 10, 300)


@endpoint(
    "POST",
    "/v1/signup",
    Access(anonymous=True, limit="signup", timeout_s=30),
    status_code=201,
    tags=_TAGS,
    summary="Sign up a company",
)
async def post_signup(request: GatewayRequest, data: JSONBody[SignUpRequest]) -> SignUpResponse:
    """Makes a tenant with its owner, its first agent (published) and an admin API key."""
    made = await sign_up(
        parts_of(request), data.email, data.password, data.company, client_ip_of(request.scope)
    )
    return SignUpResponse(made.tenant_id, made.user_id, made.agent_id, made.api_key)


@endpoint(
    "POST",
    "/v1/login",
    Access(anonymous=True, limit="login", local=True),
    tags=_TAGS,
    summary="Sign in",
)
async def post_login(
    request: GatewayRequest, data: JSONBody[LoginRequest]
) -> Response[LoginResponse]:
    """Begins a session: the cookie is HttpOnly, the CSRF token is in the body."""
    signed_in = await log_in(request, data.email, data.password)
    body = LoginResponse(signed_in.tenant_id, signed_in.user_id, csrf_token_of(signed_in.token))
    cookie = session_cookie(parts_of(request).settings, signed_in.token)
    return Response(body, cookies=[cookie])


@endpoint(
    "POST",
    "/v1/logout",
    Access(role=Role.VIEWER, body="none", local=True),
    status_code=204,
    tags=_TAGS,
    summary="Sign out",
)
async def post_logout(request: GatewayRequest) -> Response[None]:
    """Ends the session at once."""
    parts = parts_of(request)
    await signing_in.sign_out(parts.db, parts.authenticator, request.user)
    return Response(None, status_code=204, cookies=[ended_cookie(parts.settings)])


@endpoint(
    "GET",
    "/v1/me",
    Access(role=Role.VIEWER, scope=ANY_SCOPE, local=True),
    tags=_TAGS,
    summary="Who asks",
)
async def get_me(request: GatewayRequest) -> Me:
    """The person or API key behind this request."""
    principal = request.user
    is_user = principal.credential == "session"
    return Me(
        kind="user" if is_user else "api_key",
        tenant_id=principal.tenant_id,
        subject=principal.subject,
        role=principal.role.label if principal.role else "",
        company=principal.company,
        scopes=sorted(principal.scopes) if not is_user else ["*"],
        email=principal.email if is_user else None,
        email_verified=principal.verified if is_user else None,
        csrf_token=principal.csrf_token if is_user else None,
    )


async def log_in(request: GatewayRequest, email: str, password: str) -> signing_in.SignedIn:
    """Signs in, ends the session that the browser had, and counts tries by e-mail.

    For the login page, too: set `session_cookie` on the response.
    """
    parts = parts_of(request)
    parts.limiter.hit(_BY_EMAIL, sha256(email.strip().lower()).hex())
    signed_in = await signing_in.sign_in(
        parts.db, parts.passwords, email, password, client_ip_of(request.scope)
    )
    name = cookie_name(parts.settings)
    old_token = read_cookie(request.headers.get("cookie", ""), name)
    if old_token:
        digest = sha256(old_token)
        parts.authenticator.forget(digest)
        await signing_in.end_session(parts.db, digest)
    return signed_in


HANDLERS: list[HTTPRouteHandler] = [post_signup, post_login, post_logout, get_me]
