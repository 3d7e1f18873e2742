"""Clients pointed at the server that run.sh started, and a look at what its vendor got."""

import asyncio
import json
import os
import time
import urllib.request

import openai
import pytest

SCRIPTED = os.environ["SCRIPTED_URL"]
STEELYARD = os.environ["STEELYARD_URL"]


@pytest.fixture
def client():
    """Configured as users do it: by OPENAI_BASE_URL and OPENAI_API_KEY."""
    with openai.OpenAI(max_retries=0) as client:
        yield client


@pytest.fixture
def run():
    """Runs a coroutine function with an asynchronous client."""

    def run(body):
        async def main():
            async with openai.AsyncOpenAI(max_retries=0) as client:
                return await body(client)

        return asyncio.run(main())

    return run


class Vendor:
    def _ask(self, path, method="GET"):
        request = urllib.request.Request(SCRIPTED + path, method=method, data=b"" if method == "POST" else None)
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    def requests(self):
        """What came so far, in order."""
        return self._ask("/control/requests")

    def last(self):
        return self.requests()[-1]

    def state(self):
        return self._ask("/control/state")

    def becomes(self, **wanted):
        """Waits until the state has these values."""
        end = time.monotonic() + 10
        while time.monotonic() < end:
            state = self.state()
            if all(state[name] == value for name, value in wanted.items()):
                return
            time.sleep(0.02)
        raise AssertionError(f"the vendor's state never became {wanted}: {state}")


@pytest.fixture
def vendor():
    vendor = Vendor()
    vendor._ask("/control/reset", "POST")
    return vendor


@pytest.fixture
def entry():
    """The ledger's entry of a request id."""

    def entry(request_id):
        path = f"/api/v1/ledger/entries?request_id={request_id}"
        key = os.environ["STEELYARD_ADMIN_KEY"]
        request = urllib.request.Request(STEELYARD + path, headers={"authorization": f"Bearer {key}"})
        end = time.monotonic() + 10
        while time.monotonic() < end:
            with urllib.request.urlopen(request) as answer:
                data = json.load(answer)["data"]
            if data:
                assert len(data) == 1, data
                return data[0]
            time.sleep(0.05)
        raise AssertionError(f"no entry of {request_id}")

    return entry


def pytest_sessionfinish(session, exitstatus):
    """A skipped test is a failure: nothing here may depend on what the machine happens to have."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    unwanted = [kind for kind in ("skipped", "xfailed", "xpassed") if reporter.stats.get(kind)]
    if unwanted and exitstatus == 0:
        print(f"\nsome tests were {', '.join(unwanted)}")
        session.exitstatus = 1
