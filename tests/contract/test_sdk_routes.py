"""The SDK has a method for every documented route, and asks for no other."""

import re
from pathlib import Path

from runwright import client
from runwright.http.agh.routes import agh_routes
from runwright.http.ava.routes import ava_routes
from runwright.http.avala.routes import avala_routes

ELSEWHERE = {
    # for receivers and senders of the other APIs' own formats; the SDK has `rw.webhooks` for the same
    *(("GET", "/api/v1/webhooks"), ("POST", "/api/v1/webhooks"), ("GET", "/api/v1/webhooks/{}")),
    *(("PUT", "/api/v1/webhooks/{}"), ("PATCH", "/api/v1/webhooks/{}"), ("DELETE", "/api/v1/webhooks/{}")),
    *(("POST", "/api/v1/webhooks/{}/test"), ("GET", "/api/v1/webhook-deliveries")),
    ("GET", "/api/v1/webhook-deliveries/{}"),
    *(("GET", "/api/v1/organizations"), ("GET", "/api/v1/organizations/{}")),
    # for the session of a browser, which sends a cookie
    *(
        ("GET", "/v1/session"),
        ("POST", "/v1/session"),
        ("DELETE", "/v1/session"),
        ("POST", "/v1/session/redeem"),
    ),
    # for the visitors of a link, who have no key
    *(("GET", "/v1/shared/question"), ("POST", "/v1/shared/question/answer")),
    *(("GET", "/v1/shared/job"), ("GET", "/v1/shared/job/logs")),
    # what senders of webhooks call, with a signature and no key
    *(("POST", "/api/webhooks/global/{}"), ("POST", "/api/webhooks/workspaces/{}/{}")),
    # by which some of them verify an address before they send
    *(("GET", "/api/webhooks/global/{}"), ("GET", "/api/webhooks/workspaces/{}/{}")),
}
ASKED = re.compile(r'"(GET|POST|PUT|PATCH|DELETE) (/[^"]+)"')


def normal(path: str) -> str:
    return re.sub(r"\{[^}]*\}", "{}", path)


def test_every_route_has_a_method_and_every_method_a_route() -> None:
    routes = {
        (route.method, normal(route.path))
        for route in (*ava_routes(), *avala_routes(), *agh_routes())
        if route.summary
    }
    folder = Path(client.__path__[0])
    asked = {
        (method, normal(path))
        for file in folder.glob("*.py")
        for method, path in ASKED.findall(file.read_text())
    }
    assert asked <= routes
    assert routes - asked == ELSEWHERE
