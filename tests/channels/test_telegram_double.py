"""The Telegram double itself: it must refuse what Telegram refuses, or it proves nothing. Spoken to in plain HTTP."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import pytest

from tests.doubles.telegram import Fault, TelegramDouble, open_double
from tests.doubles.telegram_chats import Limits

GROUP = -1_001_234


class Client:
    """Raw calls: (status, body) of each."""

    def __init__(self, double: TelegramDouble, session: aiohttp.ClientSession) -> None:
        self.double = double
        self.session = session
        self.now = 1000.0
        self.headers: dict[str, str] = {}

    async def call(self, method: str, **params: Any) -> tuple[int, dict[str, Any]]:
        return await self.post(f"/bot{self.double.token}/{method}", json=params)

    async def post(self, path: str, **more: Any) -> tuple[int, dict[str, Any]]:
        async with self.session.post(self.double.url + path, **more) as response:
            self.headers = dict(response.headers)
            return response.status, await response.json()

    async def says(self, method: str, **params: Any) -> str:
        status, body = await self.call(method, **params)
        assert (body["ok"], body["error_code"]) == (False, status)
        return str(body["description"])


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with open_double(monotonic=lambda: made.now) as double, aiohttp.ClientSession() as session:
        made = Client(double, session)
        yield made


@pytest.fixture
async def unlimited() -> AsyncIterator[Client]:
    async with open_double(limits=Limits(enforce=False)) as double, aiohttp.ClientSession() as session:
        yield Client(double, session)


async def test_json_form_multipart_and_query_in_any_case_are_one_call(unlimited: Client) -> None:
    path = f"/bot{unlimited.double.token}/SENDmessage"
    form = aiohttp.FormData(default_to_multipart=True)
    form.add_field("chat_id", "7")
    form.add_field("text", "d")
    bold = [{"type": "bold", "offset": 0, "length": 1}]
    assert (await unlimited.post(path, json={"chat_id": 7, "text": "a", "entities": bold}))[0] == 200
    assert (await unlimited.post(path, json={"chat_id": "7", "text": "b", "entities": json.dumps(bold)}))[0] == 200
    assert (await unlimited.post(path, data={"chat_id": "7", "text": "c", "entities": json.dumps(bold)}))[0] == 200
    assert (await unlimited.post(path, data=form))[0] == 200
    assert (await unlimited.post(f"{path}?chat_id=7&text=e"))[0] == 200
    messages = unlimited.double.chats.get(7).messages
    assert [message["text"] for message in messages.values()] == list("abcde")
    assert [message.get("entities") for message in messages.values()] == [bold, bold, bold, None, None]


async def test_wrong_tokens_paths_and_methods_have_their_own_answers(unlimited: Client) -> None:
    for path, status, said in [
        ("/bot1:wrong/getMe", 401, "Unauthorized"),
        ("/botnonsense/getMe", 404, "Not Found"),
        ("/", 404, "Not Found"),
        (f"/bot{unlimited.double.token}/sendNothing", 404, "Not Found: method not found"),
    ]:
        answer = {"ok": False, "error_code": status, "description": said}
        assert await unlimited.post(path, json={}) == (status, answer)


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({}, "message text is empty"),
        ({"text": " \n\u200b\u2800"}, "text must be non-empty"),
        ({"text": "x" * 4097}, "message is too long"),
        ({"text": "😀" * 2049}, "message is too long"),
        ({"text": "<b>" + "x" * 4096 + "</b>", "parse_mode": "HTML"}, None),
        ({"text": "ж" * 16_385}, "text is too long"),
        ({"text": "rps < 50", "parse_mode": "HTML"},
         'can\'t parse entities: Unsupported start tag "" at byte offset 4'),
        ({"text": "a.", "parse_mode": "MarkdownV2"},
         "can't parse entities: Character '.' is reserved and must be escaped with the preceding '\\'"),
        ({"text": "x", "parse_mode": "XML"}, "unsupported parse_mode"),
        ({"text": "abc", "entities": [{"type": "bold", "offset": 0, "length": 4}]},
         "entity beginning at UTF-16 offset 0 ends after the end of the text at UTF-16 offset 4"),
        ({"text": "😀", "entities": [{"type": "bold", "offset": 1, "length": 1}]},
         "entity begins in a middle of a UTF-16 symbol at byte offset 4"),
        ({"text": "abc", "entities": [{"type": "shiny", "offset": 0, "length": 1}]},
         "can't parse MessageEntity: Unsupported type specified"),
        ({"text": "abc", "entities": [{"type": "text_link", "offset": 0, "length": 1, "url": "localhost"}]},
         "entity URL 'localhost' is invalid: Wrong HTTP URL"),
        ({"text": "a", "reply_markup": {"inline_keyboard": [[{"text": "b", "callback_data": "x" * 65}]]}},
         "BUTTON_DATA_INVALID"),
        ({"text": "a", "message_thread_id": 9}, "message thread not found"),
        ({"text": "a", "reply_parameters": {"message_id": 9}}, "message to be replied not found"),
        ({"text": "a", "chat_id": "somebody"}, "chat not found"),
    ],
)  # fmt: skip
async def test_a_message_that_telegram_refuses_is_refused_in_its_words(
    unlimited: Client, params: dict[str, Any], said: str | None
) -> None:
    status, body = await unlimited.call("sendMessage", **{"chat_id": 7, **params})
    assert (status, body.get("description")) == ((400, f"Bad Request: {said}") if said else (200, None))
    assert len(unlimited.double.committed) == (said is None)


async def test_what_arrives_is_what_tdlib_leaves_of_a_text(unlimited: Client) -> None:
    await unlimited.call("sendMessage", chat_id=7, text="\n a\tb\r\nc\x00d\u202e e\u0333 \n")
    assert unlimited.double.chats.get(7).texts() == ["a b\nc d e"]


async def test_a_chat_takes_one_a_second_and_a_group_twenty_a_minute(client: Client) -> None:
    for number in range(20):
        client.now = 1000.0 + number
        assert (await client.call("sendMessage", chat_id=GROUP, text="x"))[0] == 200
    client.now = 1020.0
    assert (await client.call("sendMessage", chat_id=7, text="x"))[0] == 200
    answer = {
        "ok": False,
        "error_code": 429,
        "description": "Too Many Requests: retry after 40",
        "parameters": {"retry_after": 40},
    }
    assert await client.call("sendMessage", chat_id=GROUP, text="x") == (429, answer)
    assert client.headers["Retry-After"] == "40"
    client.now = 1060.0
    assert (await client.call("sendMessage", chat_id=GROUP, text="x"))[0] == 200


async def test_who_comes_back_too_early_waits_longer(client: Client) -> None:
    await client.call("sendMessage", chat_id=7, text="x")
    waits = []
    for _ in range(3):
        _, body = await client.call("sendMessage", chat_id=7, text="x")
        waits.append(body["parameters"]["retry_after"])
    assert waits == [1, 2, 4]
    client.now += 4.0
    assert (await client.call("sendMessage", chat_id=7, text="x"))[0] == 200


async def test_the_bot_takes_thirty_a_second_over_all_chats_and_edits_count(client: Client) -> None:
    statuses = [(await client.call("sendMessage", chat_id=7 + number, text="x"))[0] for number in range(31)]
    assert statuses == [200] * 30 + [429]
    client.now += 1.0
    assert (await client.call("editMessageText", chat_id=7, message_id=1, text="y"))[0] == 200
    assert (await client.call("editMessageText", chat_id=7, message_id=1, text="z"))[0] == 429


async def test_edits_and_deletions_keep_to_what_is_there_and_ones_own(unlimited: Client) -> None:
    await unlimited.call("sendMessage", chat_id=7, text="x")
    theirs = unlimited.double.say(7, "hello")
    edit = {"chat_id": 7, "message_id": 1, "text": "x"}
    assert (await unlimited.says("editMessageText", **edit)).startswith("Bad Request: message is not modified")
    assert (await unlimited.call("editMessageText", **edit | {"text": "y"}))[0] == 200
    assert (
        await unlimited.says("editMessageText", **edit | {"message_id": 9}) == "Bad Request: message to edit not found"
    )
    assert (
        await unlimited.says("editMessageText", **edit | {"message_id": theirs})
        == "Bad Request: message can't be edited"
    )
    assert (await unlimited.call("deleteMessage", chat_id=7, message_id=1))[1] == {"ok": True, "result": True}
    assert await unlimited.says("deleteMessage", chat_id=7, message_id=1) == "Bad Request: message to delete not found"
    assert unlimited.double.chats.get(7).texts() == ["hello"]


async def test_updates_come_until_they_are_confirmed_and_presses_are_answered_once(unlimited: Client) -> None:
    await unlimited.call("sendMessage", chat_id=7, text="x")
    unlimited.double.say(7, "/subscribe bp.>")
    query = unlimited.double.press(7, 1, "nonce")
    for _ in range(2):
        _, body = await unlimited.call("getUpdates", offset=1)
        assert [update["update_id"] for update in body["result"]] == [1, 2]
    _, body = await unlimited.call("getUpdates", offset=2)
    assert body["result"][0]["callback_query"]["data"] == "nonce"
    assert (await unlimited.call("getUpdates", offset=3))[1]["result"] == []
    assert (await unlimited.call("answerCallbackQuery", callback_query_id=query))[0] == 200
    said = await unlimited.says("answerCallbackQuery", callback_query_id=query)
    assert said == "Bad Request: query is too old and response timeout expired or query ID is invalid"


async def test_a_second_poller_ends_the_first_and_news_end_a_wait(unlimited: Client) -> None:
    answers: list[tuple[int, dict[str, Any]]] = []

    async def poll() -> None:
        answers.append(await unlimited.call("getUpdates", timeout=30))

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(poll)
            while not unlimited.double.people.polling:
                await anyio.lowlevel.checkpoint()
            tasks.start_soon(poll)
            while not answers:
                await anyio.lowlevel.checkpoint()
            unlimited.double.say(7, "news")
    assert [status for status, _ in answers] == [409, 200]
    assert answers[0][1]["description"].startswith("Conflict: terminated by other getUpdates request")
    assert answers[1][1]["result"][0]["message"]["text"] == "news"


async def test_faults_hit_the_calls_they_name_and_one_call_meets_one_fault(unlimited: Client) -> None:
    unlimited.double.faults += [
        Fault(kind="500", at=1),
        Fault(kind="429", at=1, seconds=9),
        Fault(kind="500", chat=8, count=None),
        Fault(kind="500", chat=9, rate=0.0, count=None),
    ]
    sent = [7, 7, 7, 7, 8, 8, 9]
    assert [(await unlimited.call("sendMessage", chat_id=chat, text="x"))[0] for chat in sent] == [
        200, 500, 429, 200, 500, 500, 200,
    ]  # fmt: skip
    assert [call.chat for call in unlimited.double.committed] == ["7", "7", "9"]


def test_as_a_process_it_records_each_request_before_it_answers(tmp_path: Path) -> None:
    record = tmp_path / "calls.jsonl"
    faults = json.dumps([{"kind": "lost", "at": 1}])
    argv = [sys.executable, "-m", "tests.doubles.telegram", "--port", "0", "--record", str(record), "--faults", faults]

    async def talk(url: str) -> None:
        async with aiohttp.ClientSession() as session:
            for chat, text in ((7, "kept"), (8, "lost")):
                params = {"chat_id": chat, "text": text}
                try:
                    async with session.post(
                        f"{url}/bot4242:this-is-no-real-token/sendMessage", json=params
                    ) as response:
                        assert (await response.json())["result"]["text"] == "kept"
                except aiohttp.ServerDisconnectedError:
                    assert text == "lost"
                lines = record.read_text("utf-8").splitlines()
                assert json.loads(lines[-1])["text"] == text

    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url, port = process.stdout.readline().split()
            assert url == f"http://127.0.0.1:{port}"
            anyio.run(talk, url)
        finally:
            process.terminate()
    calls = [json.loads(line) for line in record.read_text("utf-8").splitlines()]
    assert [(call["committed"], call["fault"]) for call in calls] == [(True, None), (True, "lost")]
