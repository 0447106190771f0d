"""What has to work with fal's own Python client, as published. Prints one line of JSON for each promise that was kept; the first that was not ends it."""

import asyncio
import json
import sys

import fal_client
import httpx

MODEL = "fal-ai/imagen4/preview/ultra"
is_gateway = sys.argv[1] == "the gateway"
queue_base = sys.argv[2]
control = sys.argv[3]
made = 1000


def fresh():
    global made
    made += 1
    return {"prompt": f"picture {made}", "seed": made}


def kept(promise):
    print(json.dumps({"kept": promise}), flush=True)


def hold(method):
    """Keeps jobs in progress, or lets them go: a switch of the sandbox."""
    httpx.request(method, f"{control}/control/hold", headers={"authorization": "Key central-key-id:central-key-secret"}).raise_for_status()


def is_output(output):
    return output["images"][0]["url"].endswith(".png") and isinstance(output["seed"], int)


def failure(call):
    try:
        call()
    except fal_client.FalClientHTTPError as error:
        return error
    raise AssertionError("the call did not fail")


arguments = fresh()
output = fal_client.run(MODEL, arguments=arguments)
assert is_output(output) and output["seed"] == arguments["seed"]
assert is_output(fal_client.run(MODEL, arguments=fresh(), start_timeout=30))
kept("run: the output, with a start timeout, too")

updates = []
output = fal_client.subscribe(MODEL, arguments=fresh(), with_logs=True, on_queue_update=updates.append)
states = [type(update).__name__ for update in updates]
assert is_output(output)
assert states[0] in ("Queued", "InProgress") and states[-1] == "Completed" and "InProgress" in states, states
lines = [line["message"] for update in updates if not isinstance(update, fal_client.Queued) for line in update.logs or []]
assert "Drawn by the sandbox, not by the model" in lines, lines
kept("subscribe with_logs and on_queue_update: every state, log lines, the output")

assert is_output(fal_client.subscribe(MODEL, arguments=fresh()))
kept("subscribe without a callback")

handle = fal_client.submit(MODEL, arguments=fresh(), priority="low")
for address in (handle.response_url, handle.status_url, handle.cancel_url):
    assert address.startswith(f"{queue_base}/fal-ai/imagen4/requests/{handle.request_id}"), address
assert isinstance(handle.status(), (fal_client.Queued, fal_client.InProgress))
events = [type(event).__name__ for event in handle.iter_events(with_logs=True)]
assert events[-1] == "Completed", events
assert is_output(handle.get())
status = handle.status(with_logs=True)
assert isinstance(status, fal_client.Completed) and status.logs and status.metrics["inference_time"] > 0, status
kept("submit, status, iter_events, get: by the addresses that submit gives")

assert isinstance(fal_client.status(MODEL, handle.request_id, with_logs=True), fal_client.Completed)
assert is_output(fal_client.result(MODEL, handle.request_id))
kept("status and result by a bare id")

hold("PUT")
handle = fal_client.submit(MODEL, arguments=fresh())
while not isinstance(handle.status(), fal_client.InProgress):
    pass
fal_client.cancel(MODEL, handle.request_id)
error = failure(handle.get)
assert error.status_code == 499, error
assert error.error_type == "client_cancelled", error.error_type
status = handle.status()
assert isinstance(status, fal_client.Completed) and status.error_type == "client_cancelled", status
hold("DELETE")
kept("cancel: what runs is stopped, and its result says so")

hold("PUT")
try:
    fal_client.subscribe(MODEL, arguments=fresh(), client_timeout=2)
    raise AssertionError("it was not given up")
except fal_client.FalClientTimeoutError as error:
    request_id = error.request_id
hold("DELETE")
while not isinstance(fal_client.status(MODEL, request_id), fal_client.Completed):
    pass
kept("subscribe that lasts too long is given up, and cancelled")

error = failure(lambda: fal_client.subscribe(MODEL, arguments={**fresh(), "aspect_ratio": "2:1"}))
assert error.status_code == 422 and "aspect_ratio" in str(error), error
kept("an input that does not fit is a readable error")

error = failure(lambda: fal_client.SyncClient(key="not:a-key").run(MODEL, arguments=fresh()))
assert error.status_code == 401, error
error = failure(lambda: fal_client.result(MODEL, "00000000-0000-7000-8000-000000000000"))
assert error.status_code == 404, error
if is_gateway:
    assert str(error) == "No generation with this id can be seen with this key", str(error)
kept("an unknown key and an unknown request are errors, at once")


async def in_turn():
    client = fal_client.AsyncClient()
    assert is_output(await client.run(MODEL, arguments=fresh()))
    updates = []
    assert is_output(await client.subscribe(MODEL, arguments=fresh(), with_logs=True, on_queue_update=updates.append))
    assert isinstance(updates[-1], fal_client.Completed) and updates[-1].logs
    handle = await client.submit(MODEL, arguments=fresh())
    events = [type(event).__name__ async for event in handle.iter_events(with_logs=True)]
    assert events[-1] == "Completed", events
    assert is_output(await handle.get())
    assert is_output(await client.result(MODEL, handle.request_id))
    outputs = await asyncio.gather(*[client.subscribe(MODEL, arguments=fresh()) for _ in range(5)])
    assert all(map(is_output, outputs))
    hold("PUT")
    handle = await client.submit(MODEL, arguments=fresh())
    await handle.cancel()
    hold("DELETE")
    try:
        await handle.get()
        raise AssertionError("it was not cancelled")
    except fal_client.FalClientHTTPError as error:
        assert error.status_code == 499, error


asyncio.run(in_turn())
kept("the asynchronous client: run, subscribe, submit, iter_events, result, cancel, five at once")
