"""The built files: style sheet, scripts, fonts, icons, and the widget."""

from fleetkit.errors import NotFound
from litestar import Response
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.response import Redirect

from gateway.access import Access, endpoint
from gateway.parts import GatewayRequest, parts_of
from gateway.rendering import WIDGET, Asset

_PUBLIC = Access(anonymous=True, body="none", local=True)
# Names with a content hash never change their content.
_FOR_EVER = "public, max-age=31536000, immutable"
_FOR_MINUTES = "public, max-age=300"


@endpoint("GET", "/static/{name:str}", _PUBLIC, documented=False)
async def get_static(request: GatewayRequest, name: FromPath[str]) -> Response[bytes]:
    """A built file by its hashed name."""
    asset = parts_of(request).pages.assets.get(name)
    if asset is None:
        raise NotFound("there is no such file", field="name")
    return _served(request, asset, _FOR_EVER if name != WIDGET else _FOR_MINUTES)


@endpoint("GET", f"/{WIDGET}", _PUBLIC, documented=False)
async def get_widget_js(request: GatewayRequest) -> Response[bytes]:
    """The widget's script, for any page on the web."""
    asset = parts_of(request).pages.assets[WIDGET]
    response = _served(request, asset, _FOR_MINUTES)
    response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    response.headers["Access-Control-Allow-Origin"] = "*"
    return response


@endpoint("GET", "/favicon.ico", _PUBLIC, documented=False)
async def get_favicon(request: GatewayRequest) -> Redirect:
    """Where browsers look without being told."""
    name = parts_of(request).pages.manifest["favicon.svg"]
    return Redirect(f"/static/{name}", status_code=301)


def _served(request: GatewayRequest, asset: Asset, caching: str) -> Response[bytes]:
    headers = {"Cache-Control": caching, "ETag": asset.etag, "Vary": "Accept-Encoding"}
    if asset.etag in request.headers.get("if-none-match", ""):
        return Response(b"", status_code=304, headers=headers)
    content = asset.plain
    accepted = {
        coding.partition(";")[0].strip()
        for coding in request.headers.get("accept-encoding", "").split(",")
    }
    for coding, encoded in asset.encoded.items():
        if coding in accepted:
            content = encoded
            headers["Content-Encoding"] = coding
            break
    return Response(content, media_type=asset.media_type, headers=headers)


HANDLERS: list[HTTPRouteHandler] = [get_static, get_widget_js, get_favicon]
