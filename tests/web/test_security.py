"""Attack cases 4-9, 11 and 20 of the threat model, generated for every route there is."""

from __future__ import annotations

from collections.abc import Iterator

import aiohttp
import pytest
from yarl import URL

from sensord.ledger.database import open_database
from sensord.web.api import build_web
from tests.web.site import TOKEN, Site, open_site

PUBLIC = {("GET", "/healthz"), ("HEAD", "/healthz"), ("GET", "/readyz"), ("HEAD", "/readyz"), ("POST", "/login")}
SOME_ID = "0189abcd-0000-7000-8000-00000000000f"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


def routes(site: Site) -> Iterator[tuple[str, str]]:
    for route in build_web(site.app).router.routes():
        assert route.resource is not None
        path = route.resource.canonical.replace("{id}", SOME_ID).replace("{name}", "drop")
        yield route.method, path


async def raw(site: Site, method: str, path: str, headers: dict[str, str] | None = None) -> tuple[int, str]:
    """A request whose path goes out as it is written."""
    url = URL(f"{site.url}{path}", encoded=True)
    async with site.http.request(method, url, headers=headers, allow_redirects=False) as answer:
        return answer.status, await answer.text()


async def test_every_route_but_three_wants_the_token(site: Site) -> None:
    seen = set(routes(site))
    assert len(seen) > 40
    assert seen >= PUBLIC
    for method, path in seen - PUBLIC:
        assert (await raw(site, method, path))[0] == 401, (method, path)
    for method, path in PUBLIC - {("POST", "/login")}:
        assert (await raw(site, method, path))[0] == 200, (method, path)
    assert (await raw(site, "POST", "/login"))[0] == 415


BAD = (
    "Bearer nothing", "Bearer", "Bearer ", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}",
    f"Bearer  {TOKEN}", f"Bearer {TOKEN.upper()}", "Bearer eyJhbGciOiJub25lIn0.e30.", "Bearer \xff\xfe",
)  # fmt: skip


async def test_a_token_that_is_not_the_token_opens_nothing(site: Site) -> None:
    for value in BAD:
        assert (await raw(site, "GET", "/api/runs", {"Authorization": value}))[0] == 401, value
    assert (await raw(site, "GET", f"/api/runs?token={TOKEN}"))[0] == 401
    for cookie in (TOKEN, "", "x" * 64, "é"):
        assert (await raw(site, "GET", "/api/runs", {"Cookie": f"sensord_token={cookie}"}))[0] == 401
    assert (await raw(site, "GET", "/api/runs", BEARER))[0] == 200
    assert (await raw(site, "GET", "/api/runs", {"authorization": f"bearer {TOKEN}"}))[0] == 200


def variants(path: str) -> Iterator[str]:
    """The path spelled so that a comparison of strings might take it for another."""
    for public in ("/healthz", "/readyz", "/login"):
        yield f"{path}{public}"
        yield f"{public}{path}"
        yield f"{public}/..{path}"
        yield f"{path}/..{public}"
        yield f"{public}/%2e%2e{path}"
        yield f"{path}/%2e%2e{public}"
        yield f"{public};{path}"
        yield f"{path};{public}"
        yield f"{path}%00{public}"
        yield f"{path}%2f..%2f{public[1:]}"
    yield f"/{path}"
    yield f"{path}/"
    yield f"/.{path}"
    yield f"/x/..{path}"
    yield f"/x/%2e%2e{path}"
    yield path.upper()
    yield f"{path};"
    yield f"{path}%20"
    yield f"{path}%2f"
    yield f"{path}\\"
    yield path.replace("/", "//")
    yield path.replace("a", "%61").replace("h", "%68")
    yield path.replace("/", "%2f")
    yield f"http://localhost{path}"


async def test_no_spelling_of_a_path_goes_round_the_token(site: Site) -> None:
    real = {path for _, path in routes(site)}
    for method, path in sorted(set(routes(site))):
        if method == "HEAD":
            continue
        for variant in variants(path):
            if variant in real or not variant.startswith("/"):
                continue
            status, text = await raw(site, method, variant)
            assert status in (401, 404), (method, variant, status)
            assert '"items"' not in text


async def test_no_other_spelling_is_a_path_with_the_token_either(site: Site) -> None:
    real = {path for _, path in routes(site)}
    for path in sorted(real):
        for variant in variants(path):
            if variant in real or not variant.startswith("/"):
                continue
            status, text = await raw(site, "GET", variant, BEARER)
            assert status == 404, variant
            assert "error" in text


NOT_IDS = ("..", "%2e%2e", "%2e%2e%2fetc", "x" * 36, SOME_ID.upper(), f"{SOME_ID}0", SOME_ID[:-1], f"{SOME_ID}%00", "-")


async def test_what_is_no_id_is_no_path(site: Site) -> None:
    for what in ("runs", "events", "deliveries", "subscriptions"):
        for bad in NOT_IDS:
            assert (await raw(site, "GET", f"/api/{what}/{bad}", BEARER))[0] == 404, bad
    for bad in NOT_IDS:
        assert (await raw(site, "GET", f"/api/runs/{bad}/log", BEARER))[0] == 404, bad


HOSTS = {
    "localhost": 200, "localhost:8300": 200, "LOCALHOST": 200, "127.0.0.1": 200, "127.0.0.1:1": 200, "[::1]:8300": 200,
    "sensord.example": 200, "evil.example": 421, "localhost.evil.example": 421, "evil.example:8300": 421, "": 421,
    "localhost.": 421, "127.0.0.1.nip.io": 421, "127.1": 421, "0x7f.1": 421, "2130706433": 421, "10.0.0.5": 421,
    "[::ffff:127.0.0.1]": 421, "localhost@evil.example": 421, "evil.example#localhost": 421, "a b": 421, "[": 421,
    "xn--e1awd7f.com": 421, "localhost:x": 421, "localhost:99999": 421, "localhost:80:80": 421,
}  # fmt: skip


async def test_only_names_of_ours_are_answered_even_on_loopback(tmp_path: object) -> None:
    async with (
        open_database(f"sqlite:///{tmp_path}/a.db") as database,
        open_site(database, tmp_path, allowed_hosts=["Sensord.example"]) as site,  # type: ignore[arg-type]
    ):
        for host, expected in HOSTS.items():
            for path in ("/healthz", "/api/runs", "/"):
                status, _ = await raw(site, "GET", path, {"Host": host, **BEARER})
                assert status == expected, (host, path)
            if expected == 421:
                status, _ = await raw(site, "POST", "/api/events", {"Host": host, **BEARER})
                assert status == 421, host


ORIGINS: list[tuple[dict[str, str], bool]] = [
    ({}, True),
    ({"Origin": "SAME"}, True),
    ({"Origin": "SAME", "Sec-Fetch-Site": "same-origin"}, True),
    ({"Sec-Fetch-Site": "none"}, True),
    ({"Origin": "null"}, False),
    ({"Origin": ""}, False),
    ({"Origin": "http://evil.example"}, False),
    ({"Origin": "http://localhost:1"}, False),
    ({"Origin": "file://SAMEHOST"}, False),
    ({"Origin": "SAME.evil.example"}, False),
    ({"Sec-Fetch-Site": "cross-site"}, False),
    ({"Sec-Fetch-Site": "same-site"}, False),
    ({"Sec-Fetch-Site": "CROSS-SITE"}, False),
    ({"Origin": "SAME", "Sec-Fetch-Site": "cross-site"}, False),
]


async def test_no_page_of_another_origin_changes_anything(site: Site) -> None:
    host = site.url.removeprefix("http://")
    for method, path in sorted(set(routes(site))):
        if method in ("GET", "HEAD"):
            continue
        for origin, good in ORIGINS:
            headers = {
                name: value.replace("SAMEHOST", host).replace("SAME", site.url) for name, value in origin.items()
            }
            status, _ = await raw(site, method, path, {**BEARER, **headers})
            assert (status != 403) == good, (method, path, headers)
    assert (await site.get("/api/runs"))["items"] == (await site.get("/api/events"))["items"] == []


async def test_a_form_of_another_page_is_no_request_of_ours(site: Site) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/json"):
        for path in ("/api/jobs/load/runs", "/api/events", "/api/subscriptions"):
            async with site.http.post(
                f"{site.url}{path}", data=b'{"topic": "a"}', headers={**BEARER, "Content-Type": kind}
            ) as answer:
                assert answer.status == 415, (kind, path)


async def test_nothing_is_ever_shared_with_another_origin(site: Site) -> None:
    for origin in ("null", "http://evil.example", site.url):
        for method in ("GET", "OPTIONS"):
            async with site.http.request(
                method, f"{site.url}/api/runs", headers={**BEARER, "Origin": origin}
            ) as answer:
                assert not [name for name in answer.headers if name.lower().startswith("access-control-")]


async def test_every_answer_carries_the_headers(site: Site) -> None:
    for path, headers in (("/", {}), ("/", BEARER), ("/api/runs", BEARER), ("/api/runs", {}), ("/none", BEARER)):
        async with site.http.get(f"{site.url}{path}", headers=headers) as answer:
            assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
            assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Referrer-Policy"] == ("same-origin" if path == "/" else "no-referrer")
            assert answer.headers["Cache-Control"] == "no-store"


async def test_without_a_token_nothing_but_loopback_is_served_and_needs_none(tmp_path: object) -> None:
    async with (
        open_database(f"sqlite:///{tmp_path}/a.db") as database,
        open_site(database, tmp_path, token=None) as site,  # type: ignore[arg-type]
    ):
        assert site.url.startswith("http://127.0.0.1:")
        assert (await raw(site, "GET", "/api/runs"))[0] == 200
        assert (await raw(site, "GET", "/"))[0] == 200
        assert (await raw(site, "GET", "/api/runs", {"Host": "evil.example"}))[0] == 421


async def test_a_method_that_a_path_does_not_take_is_405_and_an_unknown_one_is_no_500(site: Site) -> None:
    status, text = await raw(site, "PUT", "/api/runs", BEARER)
    assert status == 405
    assert "GET" in text
    for method in ("PATCH", "TRACE", "PROPFIND", "OPTIONS"):
        assert (await raw(site, method, "/api/runs", BEARER))[0] == 405
        assert (await raw(site, method, "/api/runs"))[0] == 401


async def test_the_form_gives_a_cookie_that_opens_the_page_and_is_not_the_token(site: Site) -> None:
    form = {"token": TOKEN, "next": f"/runs/{SOME_ID}"}
    async with site.http.post(f"{site.url}/login", data=form, allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (303, f"/runs/{SOME_ID}")
        cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert TOKEN not in cookie
    pair = {"Cookie": cookie.partition(";")[0]}
    for path in ("/", "/api/runs", f"/runs/{SOME_ID}", "/static/home.js"):
        assert (await raw(site, "GET", path, pair))[0] == 200
    async with site.http.post(f"{site.url}/logout", headers=pair, allow_redirects=False) as answer:
        assert answer.status == 303
        assert 'sensord_token=""' in answer.headers["Set-Cookie"]


@pytest.mark.parametrize(
    "path", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)", ""]
)
async def test_the_form_leads_nowhere_else_and_takes_no_wrong_token(site: Site, path: str) -> None:
    form = {"token": TOKEN, "next": path}
    async with site.http.post(f"{site.url}/login", data=form, allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (303, "/")
    async with site.http.post(f"{site.url}/login", data={**form, "token": "wrong"}, allow_redirects=False) as answer:
        assert answer.status == 401
        assert "Set-Cookie" not in answer.headers
        assert path == "" or path not in await answer.text()
    for body in (b"\xff", b"&" * 4000, b"a=b&" * 1000):
        async with site.http.post(
            f"{site.url}/login", data=body, headers={"Content-Type": "application/x-www-form-urlencoded"}
        ) as answer:
            assert answer.status in (400, 401)


async def test_a_page_asks_for_the_token_and_the_rest_answers_in_json(site: Site) -> None:
    async with site.http.get(f"{site.url}/runs/{SOME_ID}") as answer:
        assert answer.status == 401
        text = await answer.text()
    assert f'name="next" value="/runs/{SOME_ID}"' in text
    assert TOKEN not in text
    async with site.http.get(f"{site.url}/static/home.js") as answer:
        assert (answer.status, answer.content_type) == (401, "application/json")


async def test_a_stream_without_the_token_sends_nothing(site: Site) -> None:
    async with aiohttp.ClientSession() as client, client.get(f"{site.url}/api/stream") as answer:
        assert answer.status == 401
        assert "error" in await answer.json()
