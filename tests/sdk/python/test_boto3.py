"""`boto3` on every vendor's wire: the Bedrock runtime, and what is asked of its control plane before a call."""

import base64
import datetime
import json
import os
import urllib.error
import urllib.request

import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError, EventStreamError, ReadTimeoutError
from conftest import CITY, HANSA, PIXEL, RECORDED, SCHEMA, thinker


CLIENT = "py-boto3"
HI = [{"role": "user", "content": [{"text": "hi"}]}]
SANDBOX_AND_WIRES = ["sandbox", "openai/any", "anthropic/any", "bedrock/any"]
TOOLS = {
    "tools": [
        {"toolSpec": {"name": name, "description": f"{name} of a city", "inputSchema": {"json": CITY}}}
        for name in ["get_weather", "get_tide"]
    ]
}
ONCE = Config(retries={"mode": "standard", "total_max_attempts": 1})


@pytest.fixture(scope="module")
def client():
    """Configured as users do it: by AWS_ENDPOINT_URL, AWS_REGION and a pair of keys in the environment."""
    return boto3.client("bedrock-runtime", config=ONCE)


@pytest.fixture(scope="module")
def control():
    return boto3.client("bedrock", config=ONCE)


def gather(stream):
    """What a stream says, as `converse` would say it whole."""
    blocks, whole = {}, {}
    for event in stream:
        (kind, event), = event.items()
        if kind == "messageStart":
            whole["role"] = event["role"]
        elif kind == "contentBlockStart":
            blocks[event["contentBlockIndex"]] = {"toolUse": {**event["start"]["toolUse"], "input": ""}}
        elif kind == "contentBlockDelta":
            index, delta = event["contentBlockIndex"], event["delta"]
            if "text" in delta:
                blocks.setdefault(index, {"text": ""})["text"] += delta["text"]
            elif "toolUse" in delta:
                blocks[index]["toolUse"]["input"] += delta["toolUse"]["input"]
            else:
                reasoning = blocks.setdefault(index, {"reasoningContent": {"reasoningText": {"text": ""}}})
                text = reasoning["reasoningContent"]["reasoningText"]
                for name, value in delta["reasoningContent"].items():
                    text[name] = text.get(name, "") + value
        elif kind == "contentBlockStop":
            block = blocks[event["contentBlockIndex"]]
            if "toolUse" in block:
                block["toolUse"]["input"] = json.loads(block["toolUse"]["input"])
        elif kind == "messageStop":
            whole.update(event)
        else:
            assert kind == "metadata" and "stopReason" in whole, "the figures come last"
            whole.update(event)
    message = {"role": whole.pop("role"), "content": [blocks[index] for index in sorted(blocks)]}
    return {"output": {"message": message}, **whole}


@pytest.fixture(params=[False, True], ids=["whole", "streamed"])
def ask(request, client):
    """Asks for an answer, whole or streamed and put together."""

    def ask(model, **given):
        given = {"modelId": model, "messages": HI, **given}
        if not request.param:
            return client.converse(**given)
        answer = client.converse_stream(**given)
        return {"ResponseMetadata": answer["ResponseMetadata"], **gather(answer["stream"])}

    return ask


def text_of(answer):
    return "".join(block.get("text", "") for block in answer["output"]["message"]["content"])


def request_id(answer):
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    ours = headers["x-steelyard-request-id"]
    # AWS's clients know ids as UUIDs.
    uuid = answer["ResponseMetadata"]["RequestId"]
    assert len(uuid) == 36 and ours == "req_" + uuid.replace("-", "")
    return ours


def say(text):
    return [{"role": "user", "content": [{"text": text}]}]


@pytest.mark.parametrize("model", SANDBOX_AND_WIRES)
def test_echo(ask, model, entry):
    answer = ask(model, messages=say("one two three"))
    assert answer["stopReason"] == "end_turn"
    assert answer["output"]["message"]["role"] == "assistant"
    assert answer["metrics"]["latencyMs"] >= 0
    usage = answer["usage"]
    assert usage["totalTokens"] == usage["inputTokens"] + usage["outputTokens"]
    if model != "sandbox":
        assert text_of(answer) == "You said: one two three"
        assert (usage["inputTokens"], usage["outputTokens"]) == (10, 5)
    recorded = entry(request_id(answer))
    assert (recorded["outcome"], recorded["principal"], recorded["basis"]) == ("ok", "sdk", "reported")
    assert recorded["usage"] == {"input": usage["inputTokens"], "output": usage["outputTokens"]}


def test_events_of_a_stream(client, wire):
    events = [next(iter(event)) for event in client.converse_stream(modelId=f"{wire}/any", messages=say("one two"))["stream"]]
    assert events[0] == "messageStart"
    assert events[-3:] == ["contentBlockStop", "messageStop", "metadata"]
    assert events.count("contentBlockDelta") > 2


def test_system_prompt_and_turns(ask, wire, vendor):
    messages = [*say("one"), {"role": "assistant", "content": [{"text": "1"}]}, *say("two")]
    inference = {"maxTokens": 99, "temperature": 0.5, "stopSequences": ["END"]}
    answer = ask(f"{wire}/any", messages=messages, system=[{"text": "Be brief."}], inferenceConfig=inference)
    assert text_of(answer) == "You said: two"
    sent = vendor.last()
    body = sent["body"]
    if wire == "openai":
        assert body["messages"][0] == {"role": "system", "content": "Be brief."}
        assert [message["role"] for message in body["messages"]] == ["system", "user", "assistant", "user"]
        assert (body["max_tokens"], body["temperature"], body["stop"]) == (99, 0.5, ["END"])
    elif wire == "anthropic":
        assert json.dumps(body["system"]).count("Be brief.") == 1
        assert (body["max_tokens"], body["temperature"], body["stop_sequences"]) == (99, 0.5, ["END"])
    else:
        assert body == {"messages": messages, "system": [{"text": "Be brief."}], "inferenceConfig": inference}
        # Signed anew, with the account's own keys.
        assert sent["headers"]["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIAVENDOR/")
    assert os.environ["AWS_ACCESS_KEY_ID"] not in json.dumps(sent)


@pytest.mark.parametrize("model", ["sandbox", "openai/tools", "anthropic/tools", "bedrock/tools"])
def test_a_tool_loop(ask, model):
    messages = say("please call get_weather and call get_tide")
    answer = ask(model, messages=messages, toolConfig=TOOLS)
    assert answer["stopReason"] == "tool_use"
    calls = [block["toolUse"] for block in answer["output"]["message"]["content"] if "toolUse" in block]
    assert [call["name"] for call in calls] == ["get_weather", "get_tide"]
    assert len({call["toolUseId"] for call in calls}) == 2
    assert all(call["input"] == {"city": "Lübeck"} or model == "sandbox" for call in calls)
    results = [
        {"toolResult": {"toolUseId": call["toolUseId"], "content": [{"text": f"seven by {call['name']}"}]}} for call in calls
    ]
    messages += [answer["output"]["message"], {"role": "user", "content": results}]
    told = ask(model, messages=messages, toolConfig=TOOLS)
    assert told["stopReason"] == "end_turn"
    assert "seven by get_weather" in text_of(told)
    assert "seven by get_tide" in text_of(told)


@pytest.mark.parametrize(
    "choice, sent",
    [
        ({"tool": {"name": "get_tide"}}, [{"type": "function", "function": {"name": "get_tide"}}, {"type": "tool", "name": "get_tide"}]),
        ({"any": {}}, ["required", {"type": "any"}]),
    ],
    ids=["one", "any"],
)
def test_a_forced_tool(client, wire, vendor, choice, sent):
    client.converse(modelId=f"{wire}/tools", messages=HI, toolConfig={**TOOLS, "toolChoice": choice})
    body = vendor.last()["body"]
    if wire == "bedrock":
        assert body["toolConfig"]["toolChoice"] == choice
    else:
        assert body["tool_choice"] == sent[["openai", "anthropic"].index(wire)]


def test_a_failed_tool(ask, wire, vendor):
    call = {"toolUse": {"toolUseId": "tooluse_1", "name": "get_weather", "input": {"city": "Bergen"}}}
    result = {"toolResult": {"toolUseId": "tooluse_1", "content": [{"text": "no such city"}], "status": "error"}}
    messages = [*HI, {"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]
    assert "no such city" in text_of(ask(f"{wire}/tools", messages=messages, toolConfig=TOOLS))
    body = json.dumps(vendor.last()["body"])
    assert {"openai": "rror", "anthropic": '"is_error": true', "bedrock": '"status": "error"'}[wire] in body


def test_structured_output(ask, wire):
    structure = {"jsonSchema": {"name": "league", "schema": json.dumps(SCHEMA)}}
    answer = ask(f"{wire}/structured", outputConfig={"textFormat": {"type": "json_schema", "structure": structure}})
    assert answer["stopReason"] == "end_turn"
    assert json.loads(text_of(answer)) == HANSA


def test_images(ask, wire, vendor):
    image = {"image": {"format": "png", "source": {"bytes": base64.b64decode(PIXEL)}}}
    answer = ask(f"{wire}/vision", messages=[{"role": "user", "content": [{"text": "what is this?"}, image]}])
    assert text_of(answer) == "1 images, the first is data:image/png;base64,"
    assert PIXEL in json.dumps(vendor.last()["body"])


@pytest.mark.parametrize(
    "model, reason", [("length", "max_tokens"), ("filtered", "content_filtered"), ("refusal", "content_filtered"), ("stopped", None)]
)
def test_stop_reasons(ask, wire, model, reason):
    answer = ask(f"{wire}/{model}", inferenceConfig={"stopSequences": ["END"]})
    if reason:
        # A refusal of OpenAI's is a text, and a good end.
        assert answer["stopReason"] == reason or (wire, model) == ("openai", "refusal")
    else:
        # OpenAI has one word for both.
        assert answer["stopReason"] == ("end_turn" if wire == "openai" else "stop_sequence")


def test_reasoning_and_a_second_turn(ask, wire, vendor, entry):
    fields = {"additionalModelRequestFields": {"thinking": {"type": "enabled", "budget_tokens": 1024}}}
    answer = ask(thinker(wire), inferenceConfig={"maxTokens": 4096}, **fields)
    message = answer["output"]["message"]
    # OpenAI's wire has no signatures.
    thought = {"text": "Let me think."} if wire == "openai" else {"text": "Let me think.", "signature": "c2lnbmVk"}
    assert message["content"] == [{"reasoningContent": {"reasoningText": thought}}, {"text": "42"}]
    assert (answer["usage"]["inputTokens"], answer["usage"]["outputTokens"]) == (12, 40)
    # Converse does not tell how much of the output was reasoning.
    told = {"input": 12, "output": 40} if wire == "bedrock" else {"input": 12, "output": 10, "reasoning": 30}
    assert entry(request_id(answer))["usage"] == told
    messages = [*HI, message, *say("and now?")]
    assert text_of(ask(thinker(wire), messages=messages, inferenceConfig={"maxTokens": 4096}, **fields)) == "42"
    body = json.dumps(vendor.last()["body"])
    assert "Let me think." in body
    assert wire == "openai" or "c2lnbmVk" in body


def test_cached_tokens(ask, wire, vendor, entry):
    system = [{"text": "Be brief."}, {"cachePoint": {"type": "default"}}]
    answer = ask(f"{wire}/cached", system=system)
    usage = answer["usage"]
    assert (usage["inputTokens"], usage["cacheReadInputTokens"], usage["outputTokens"]) == (100, 900, 5)
    assert usage["totalTokens"] == 1005
    assert entry(request_id(answer))["usage"] == {"input": 100, "cache_read": 900, "output": 5}
    sent = json.dumps(vendor.last()["body"])
    assert {"openai": "Be brief.", "anthropic": '"cache_control"', "bedrock": '"cachePoint"'}[wire] in sent


def test_the_control_plane(control, wire):
    names = {model["modelId"] for model in control.list_foundation_models()["modelSummaries"]}
    assert "sandbox" in names and f"{CLIENT}-{wire}-fault-429" in names
    model = control.get_foundation_model(modelIdentifier=f"{wire}/any")["modelDetails"]
    assert model["modelId"] == f"{wire}/any" and model["modelLifecycle"]["status"] == "ACTIVE"
    assert model["modelArn"] == f"arn:aws:bedrock:eu-central-1::foundation-model/{wire}/any"
    assert control.get_foundation_model(modelIdentifier=model["modelArn"])["modelDetails"]["modelId"] == f"{wire}/any"


def test_inference_profiles(client, control):
    pages = control.get_paginator("list_inference_profiles").paginate(PaginationConfig={"PageSize": 1})
    profiles = [profile for page in pages for profile in page["inferenceProfileSummaries"]]
    ids = [profile["inferenceProfileId"] for profile in profiles]
    assert "us.scripted-v1:0" in ids and len(ids) == len(set(ids))
    profile = control.get_inference_profile(inferenceProfileIdentifier="us.scripted-v1:0")
    assert (profile["status"], profile["type"]) == ("ACTIVE", "SYSTEM_DEFINED")
    # A profile can be called by its id and by its ARN.
    for name in ["us.scripted-v1:0", profile["inferenceProfileArn"]]:
        assert text_of(client.converse(modelId=name, messages=HI)) == "You said: hi"
    with pytest.raises(control.exceptions.ResourceNotFoundException):
        control.get_inference_profile(inferenceProfileIdentifier="us.nobody-v1:0")
    with pytest.raises(control.exceptions.ResourceNotFoundException):
        control.get_foundation_model(modelIdentifier="sandbix")


def test_the_path_with_a_prefix(wire):
    client = boto3.client("bedrock-runtime", config=ONCE, endpoint_url=f"{os.environ['STEELYARD_URL']}/bedrock")
    assert text_of(client.converse(modelId=f"{wire}/any", messages=HI)) == "You said: hi"
    control = boto3.client("bedrock", config=ONCE, endpoint_url=f"{os.environ['STEELYARD_URL']}/bedrock")
    assert control.get_foundation_model(modelIdentifier="sandbox")["modelDetails"]["modelId"] == "sandbox"


# Errors arrive as the codes and exception classes that boto3's users catch.


def wrong(caught):
    """Code and status of an error, which names its request too."""
    metadata = caught.value.response["ResponseMetadata"]
    assert len(metadata["RequestId"]) == 36
    return caught.value.response["Error"]["Code"], metadata["HTTPStatusCode"]


@pytest.mark.parametrize(
    "kind, code, status",
    [
        ("400", "ValidationException", 400),
        # A vendor that refuses Steelyard's own key is not the caller's mistake.
        ("401", "ModelErrorException", 424),
        ("403", "ModelErrorException", 424),
        ("404", "ResourceNotFoundException", 404),
        ("413", "ValidationException", None),
        ("429", "ThrottlingException", 429),
        ("500", "InternalServerException", 500),
        ("503", "ServiceUnavailableException", 503),
        ("529", "ServiceUnavailableException", 503),
    ],
)
def test_errors_of_the_vendor(client, ask, wire, fault, entry, kind, code, status):
    # What the caller can mend keeps its status where both speak one wire.
    status = status or (413 if wire == "bedrock" else 400)
    with pytest.raises(getattr(client.exceptions, code)) as caught:
        ask(fault(kind))
    assert wrong(caught) == (code, status)
    if kind in ("400", "413"):
        assert f"the vendor's own words for {kind}" in caught.value.response["Error"]["Message"]
    if kind in RECORDED:
        assert entry(request_id(caught.value.response))["outcome"] == "upstream_error"


def test_an_unknown_model(client, ask):
    with pytest.raises(client.exceptions.ResourceNotFoundException, match="sandbox") as caught:
        ask("sandbix")
    assert wrong(caught) == ("ResourceNotFoundException", 404)


@pytest.mark.parametrize("wire", ["openai", "anthropic"], indirect=True)
def test_a_bad_request(client, wire):
    # Bedrock itself is asked what it thinks of it; the others are not.
    with pytest.raises(client.exceptions.ValidationException) as caught:
        client.converse(modelId=f"{wire}/any", messages=[{"role": "user", "content": [{"toolResult": {"toolUseId": "x", "content": []}}]}])
    assert wrong(caught) == ("ValidationException", 400)


def test_a_body_that_is_too_large(client, wire):
    with pytest.raises(client.exceptions.ValidationException, match="max_body") as caught:
        client.converse(modelId=f"{wire}/any", messages=say("x" * 3_000_000))
    assert wrong(caught) == ("ValidationException", 413)


@pytest.mark.parametrize("kind, words", [("stream-error", "engine failed"), ("stream-cut", "incomplete|broke off")])
def test_errors_in_the_middle_of_a_stream(client, fault, kind, words):
    got = ""
    with pytest.raises(EventStreamError, match=words) as caught:
        for event in client.converse_stream(modelId=fault(kind), messages=HI)["stream"]:
            got += event.get("contentBlockDelta", {}).get("delta", {}).get("text", "")
    assert got == "one two "
    assert caught.value.response["Error"]["Code"] in ("modelStreamErrorException", "internalServerException")


def test_retries_of_the_sdk(fault, vendor):
    client = boto3.client("bedrock-runtime", config=Config(retries={"mode": "standard", "total_max_attempts": 2}))
    with pytest.raises(client.exceptions.ThrottlingException) as caught:
        client.converse(modelId=fault("429"), messages=HI)
    assert caught.value.response["ResponseMetadata"]["RetryAttempts"] == 1
    assert len(vendor.requests()) == 2, "the SDK asks again, and each time one request goes upstream"


def test_a_timeout_of_the_sdk_cancels_upstream(fault, vendor):
    client = boto3.client("bedrock-runtime", config=ONCE.merge(Config(read_timeout=0.3)))
    with pytest.raises(ReadTimeoutError):
        client.converse(modelId=fault("hang"), messages=HI)
    vendor.becomes(aborted=1, answering=0)


def test_leaving_a_stream_cancels_upstream(client, wire, vendor, entry):
    answer = client.converse_stream(modelId=f"{wire}/slow", messages=HI)
    for number, _ in enumerate(answer["stream"]):
        if number == 5:
            break
    assert vendor.state()["answering"] == 1
    answer["stream"].close()
    vendor.becomes(aborted=1, answering=0)
    recorded = entry(request_id(answer))
    assert recorded["outcome"] == "client_gone"
    assert 0 < recorded["usage"]["output"] < 100


# Credentials.


def calls(client, control):
    return [lambda: client.converse(modelId="sandbox", messages=HI), lambda: control.list_foundation_models()]


def both(**given):
    return [boto3.client(service, config=ONCE, **given) for service in ("bedrock-runtime", "bedrock")]


def test_a_wrong_secret(revoked):
    known = os.environ["AWS_ACCESS_KEY_ID"]
    wrong_pairs = [
        (known, "wrong", "InvalidSignatureException"),
        ("AKIAIOSFODNN7EXAMPLE", os.environ["AWS_SECRET_ACCESS_KEY"], "UnrecognizedClientException"),
        (revoked["aws_access_key_id"], revoked["aws_secret_access_key"], "UnrecognizedClientException"),
    ]
    for key, secret, code in wrong_pairs:
        for call in calls(*both(aws_access_key_id=key, aws_secret_access_key=secret)):
            with pytest.raises(ClientError) as caught:
                call()
            assert wrong(caught) == (code, 403)


class Signed:
    """A call of Converse that botocore signed at some time, which a test may change before it sends it."""

    def __init__(self, minutes=0, secret=None, token=None):
        credentials = Credentials(os.environ["AWS_ACCESS_KEY_ID"], secret or os.environ["AWS_SECRET_ACCESS_KEY"], token)
        self.url = f"{os.environ['STEELYARD_URL']}/model/sandbox/converse"
        self.body = json.dumps({"messages": HI}).encode()
        request = AWSRequest("POST", self.url, {"Content-Type": "application/json"}, self.body)
        # What `add_auth` does, with a clock of our own.
        auth = SigV4Auth(credentials, "bedrock", os.environ["AWS_REGION"])
        at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=minutes)
        request.context["timestamp"] = at.strftime("%Y%m%dT%H%M%SZ")
        auth._modify_request_before_signing(request)
        canonical = auth.canonical_request(request)
        signature = auth.signature(auth.string_to_sign(request, canonical), request)
        auth._inject_signature_to_request(request, signature)
        self.headers = dict(request.headers)

    def send(self):
        """The status; of a refusal also its exception and its words."""
        try:
            with urllib.request.urlopen(urllib.request.Request(self.url, self.body, self.headers)) as answer:
                return answer.status, None, ""
        except urllib.error.HTTPError as error:
            kind = error.headers["x-amzn-errortype"].split(":")[0]
            return error.code, kind, json.load(error)["message"]


@pytest.mark.parametrize("minutes", [0, -4, 4])
def test_a_signature_of_now_is_taken(minutes):
    signed = Signed(minutes)
    assert signed.send()[0] == 200
    assert signed.send()[0] == 200, "as AWS does, the same request is taken again while it is of now"


def test_a_signed_session_token_of_somewhere_else_is_passed_over():
    assert Signed(token="left-over").send()[0] == 200


def test_signatures_that_are_not_taken():
    other_body, other_header, unsigned_token = Signed(), Signed(), Signed()
    other_body.body = other_body.body.replace(b"hi", b"ho")
    other_header.headers["Content-Type"] = "application/json; charset=utf-8"
    unsigned_token.headers["X-Amz-Security-Token"] = "put in on the way"
    for signed, kind, words in [
        (Signed(secret="wrong"), "InvalidSignatureException", "does not match"),
        (other_body, "InvalidSignatureException", "does not match"),
        (other_header, "InvalidSignatureException", "does not match"),
        # Which is also what one that was overheard is when it is sent again later.
        (Signed(minutes=-6), "InvalidSignatureException", "Signature expired"),
        (Signed(minutes=6), "InvalidSignatureException", "Signature not yet current"),
        (unsigned_token, "IncompleteSignatureException", "x-amz-security-token"),
    ]:
        status, told, text = signed.send()
        assert (status, told) == (403, kind), text
        assert words in text


def test_bearer_keys(monkeypatch, revoked):
    """boto3 sends them over TLS alone."""
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", os.environ["OPENAI_API_KEY"])
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    where = {"endpoint_url": os.environ["STEELYARD_TLS_URL"], "verify": os.environ["STEELYARD_CERT"]}
    client, control = both(**where)
    assert client.converse(modelId="anthropic/any", messages=HI)["stopReason"] == "end_turn"
    stream = client.converse_stream(modelId="bedrock/any", messages=HI)["stream"]
    assert text_of(gather(stream)) == "You said: hi"
    assert control.list_foundation_models()["modelSummaries"]
    for key in ["wrong", revoked["secret"]]:
        monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", key)
        for call in calls(*both(**where)):
            with pytest.raises(ClientError) as caught:
                call()
            assert wrong(caught) == ("UnrecognizedClientException", 403)


def test_a_signature_over_tls(wire):
    client = boto3.client("bedrock-runtime", endpoint_url=os.environ["STEELYARD_TLS_URL"], verify=os.environ["STEELYARD_CERT"])
    assert text_of(client.converse(modelId=f"{wire}/any", messages=HI)) == "You said: hi"
