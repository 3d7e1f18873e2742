"""What the tests of every SDK need: the vendors that run.sh started, the ledger, and keys."""

import json
import os
import time
import urllib.request

import pytest

STEELYARD = os.environ["STEELYARD_URL"]

# The wires that the vendors behind speak; each is the name of a channel too.
WIRES = ["openai", "anthropic", "bedrock"]

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "cities": {"type": "array", "items": {"type": "string"}},
        "year": {"type": "integer"},
    },
    "required": ["name", "cities", "year"],
    "additionalProperties": False,
}
HANSA = {"name": "Hansa", "cities": ["Lübeck", "Bergen"], "year": 1356}

# The faults after which the ledger is looked at, one of each sort: it takes a moment to be filled.
RECORDED = ["400", "401", "429", "500"]

CITY = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}


@pytest.fixture(params=WIRES)
def wire(request):
    """The wire of the vendor behind."""
    return request.param


@pytest.fixture
def fault(wire, request):
    """The name of a route that goes wrong; each client has its own."""
    return lambda kind: f"{request.module.CLIENT}-{wire}-fault-{kind}"


def thinker(wire):
    """A model that thinks. Bedrock's word for it is for Claude alone, which is known by its name."""
    return "bedrock/anthropic.claude-reasoning" if wire == "bedrock" else f"{wire}/reasoning"


class Vendor:
    """What a vendor got."""

    def __init__(self, wire):
        # Without the path that the vendor's wire begins with.
        self.root = "/".join(os.environ[f"SCRIPTED_{wire.upper()}"].split("/")[:3])
        self._ask("/control/reset", "POST")

    def _ask(self, path, method="GET"):
        request = urllib.request.Request(self.root + path, method=method, data=b"" if method == "POST" else None)
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
def vendor(wire):
    return Vendor(wire)


@pytest.fixture
def openai_vendor():
    """For what has words on this wire alone."""
    return Vendor("openai")


def manage(method, path, body=None):
    """A call of the management API as its administrator."""
    headers = {"authorization": f"Bearer {os.environ['STEELYARD_ADMIN_KEY']}", "content-type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(STEELYARD + "/api/v1" + path, data, headers, method=method)
    with urllib.request.urlopen(request) as answer:
        text = answer.read()
        return json.loads(text) if text else None


@pytest.fixture
def entry():
    """The ledger's entry of a request id."""

    def entry(request_id):
        end = time.monotonic() + 10
        while time.monotonic() < end:
            data = manage("GET", f"/ledger/entries?request_id={request_id}")["data"]
            if data:
                assert len(data) == 1, data
                return data[0]
            time.sleep(0.02)
        raise AssertionError(f"no entry of {request_id}")

    return entry


@pytest.fixture
def revoked(request):
    """A key that worked once."""
    name = f"revoked {request.node.name}"
    key = manage("POST", "/keys", {"name": name, "aws": True})
    manage("DELETE", f"/keys/{key['id']}")
    return key


def pytest_sessionfinish(session, exitstatus):
    """A skipped test is a failure: nothing here may depend on what the machine happens to have."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    unwanted = [kind for kind in ("skipped", "xfailed", "xpassed") if reporter.stats.get(kind)]
    if unwanted and exitstatus == 0:
        print(f"\nsome tests were {', '.join(unwanted)}")
        session.exitstatus = 1
