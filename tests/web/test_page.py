"""Attack case 33, and what a person sees: the page in a real browser."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.conftest import in_ci
from tests.web.browser import CHROMIUM, Tab, open_tab
from tests.web.site import TOKEN, Site

HOSTILE = (
    "<img src=x onerror=window.pwned=1>.csv",
    "<script>window.pwned=1</script>.csv",
    '"><svg onload=window.pwned=1>.csv',
    "javascript:window.pwned=1",
    "rtl\u202egnp.csv",
    "line\nbreak\x1b[31m.csv",
    "{{constructor.constructor('window.pwned=1')()}}.csv",
    "a" * 500,
)

pytestmark = pytest.mark.skipif(CHROMIUM is None and not in_ci(), reason="Chromium is not installed")


@pytest.fixture
async def tab() -> AsyncIterator[Tab]:
    async with open_tab() as opened:
        yield opened


async def sign_in(site: Site, tab: Tab, path: str = "/") -> None:
    await tab.open(f"{site.url}{path}")
    await tab.until("document.querySelector('input[name=token]')")
    tab.messages.clear()  # That the first answer is 401 stands in the console.
    await tab.evaluate(f"document.querySelector('input[name=token]').value = '{TOKEN}', document.forms[0].submit()")
    await tab.until("document.getElementById('live')?.textContent === 'live'")


async def everything(site: Site) -> list[str]:
    """Runs of files with hostile names, and everyone told of them: the ids of the runs."""
    await site.call("POST", "/api/subscriptions", {"topic": ">", "to": "inbox:"})
    for name in HOSTILE:
        site.shelf.put(name)
    await site.call("POST", "/api/sensors/drop/tick")
    runs = [run["id"] for run in (await site.get("/api/runs"))["items"]][::-1]
    for run, name in zip(runs, HOSTILE, strict=True):
        await site.stage.until(f"{run}.1")
        site.stage.write(f"{run}.1", f"{name}\n\x1b[31m<script>window.pwned=1</script>\n")
        site.stage.end(f"{run}.1", "failed", error=f"it broke on {name}", metadata={name: name})
        await site.settled(run, "failed")
    links = {"topic": "bp.a", "message": HOSTILE[0], "data": {"<b>x</b>": HOSTILE[1], "url": HOSTILE[3]}}
    await site.call("POST", "/api/events", links)
    await site.found("/api/inbox")
    return runs


async def test_no_name_message_or_log_is_ever_markup(site: Site, tab: Tab) -> None:
    runs = await everything(site)
    await sign_in(site, tab)
    (event,) = (await site.get("/api/events?topic=bp.a"))["items"]
    pages = ["/", *(f"/runs/{run}" for run in runs[:3]), f"/events/{event['id']}"]
    for path in pages:
        await tab.open(f"{site.url}{path}")
        await tab.until("document.getElementById('live').textContent === 'live'")
        if path.startswith("/runs"):
            await tab.until("document.querySelector('pre.log')?.textContent.includes('window.pwned')")
        assert await tab.evaluate("document.body.innerText.includes('window.pwned=1')"), path
        assert await tab.evaluate("window.pwned") is None
        assert await tab.evaluate("document.querySelectorAll('main img, main script, main svg').length") == 0
        bad = "[...document.links].filter((link) => !['http:', 'https:'].includes(link.protocol)).length"
        assert await tab.evaluate(bad) == 0
        assert await tab.evaluate(r"/[\u202e\u001b]/.test(document.body.innerText)") is False
    assert [one for one in tab.messages if "favicon" not in one] == []


async def test_the_page_says_first_whether_all_is_well_and_lives(site: Site, tab: Tab) -> None:
    await sign_in(site, tab)
    assert await tab.evaluate("document.querySelector('h1').innerText") == "✓\nAll well: no runs yet today."
    run = await site.launch(run_config={"path": "a.csv"})
    await tab.until("document.querySelector('#runs .running')")
    site.stage.end(f"{run}.1", "failed", error="exit code 3")
    await tab.until("document.querySelector('#runs .failed')")
    await tab.until("document.querySelector('h1').innerText.includes('1 run of 1 today did not succeed')")
    order = "[...document.querySelectorAll('main section')].map((one) => one.id).join()"
    assert await tab.evaluate(order) == "messages,runs,sensors,destinations"
    await tab.evaluate(f"document.querySelector('a[href=\"/runs/{run}\"]').click()")
    await tab.until("document.querySelector('h1')?.innerText === 'load failed'")
    await tab.evaluate("[...document.querySelectorAll('button')].find((one) => one.innerText === 'Run again').click()")
    await tab.until(f"location.pathname.startsWith('/runs/') && !location.pathname.endsWith('{run}')")
    again = str(await tab.evaluate("location.pathname.split('/')[2]"))
    assert (await site.get(f"/api/runs/{again}"))["tags"]["sensord/retry_of"] == run


async def test_a_phone_shows_everything_without_scrolling_sideways(site: Site, tab: Tab) -> None:
    runs = await everything(site)
    await sign_in(site, tab)
    for path in ("/", f"/runs/{runs[-1]}"):
        await tab.open(f"{site.url}{path}", width=360, height=700)
        await tab.until("document.getElementById('live').textContent === 'live'")
        assert await tab.evaluate("document.documentElement.scrollWidth") <= 360, path


async def test_every_status_is_a_word_and_everything_has_a_name(site: Site, tab: Tab) -> None:
    await everything(site)
    await sign_in(site, tab)
    words = "[...document.querySelectorAll('.status')].every((one) => /[a-z]/.test(one.innerText))"
    assert await tab.evaluate(words)
    assert await tab.evaluate("[...document.querySelectorAll('section')].every((one) => one.ariaLabelledByElements)")
    assert await tab.evaluate("document.querySelectorAll('h1').length") == 1
    assert await tab.evaluate("[...document.querySelectorAll('a, button')].every((one) => one.innerText.trim())")


async def test_a_link_leads_to_its_run_after_signing_in_and_signing_out_closes_the_page(site: Site, tab: Tab) -> None:
    run = await site.launch()
    await sign_in(site, tab, f"/runs/{run}")
    assert await tab.evaluate("location.pathname") == f"/runs/{run}"
    assert await tab.evaluate("document.cookie") == "", "scripts cannot read the cookie"
    await tab.evaluate("document.querySelector('header form').submit()")
    await tab.until("document.querySelector('input[name=token]')")
    await tab.open(f"{site.url}/runs/{run}")
    assert await tab.evaluate("document.querySelectorAll('main form').length") == 1


async def test_a_link_of_another_site_opens_for_who_has_signed_in(site: Site, tab: Tab) -> None:
    run = await site.launch()
    await sign_in(site, tab)
    other = site.url.replace("127.0.0.1", "localhost")  # Another site for the browser: no cookie of ours goes along.
    await tab.open(f"{other}/healthz")
    await tab.evaluate(f"location.assign('{site.url}/runs/{run}')")
    await tab.until("document.querySelector('h1')?.innerText === 'load is running'")
