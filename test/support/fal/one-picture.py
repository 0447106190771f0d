"""Makes one picture with fal's own Python client, or cancels it: whatever is lost on the way, the client repeats it by itself."""

import sys

import fal_client

MODEL = "fal-ai/imagen4/preview/ultra"
call, base, prompt = sys.argv[1:]

# The one thing that is not as published: connections that a test can look into. The client itself takes https only.
fal_client.client.RUN_URL_FORMAT = f"{base}/fal/"
fal_client.client.QUEUE_URL_FORMAT = f"{base}/fal/queue/"

if call == "run":
    fal_client.run(MODEL, arguments={"prompt": prompt})
elif call == "cancel":
    handle = fal_client.submit(MODEL, arguments={"prompt": prompt})
    handle.cancel()
    try:
        handle.get()
    except fal_client.FalClientHTTPError as error:
        assert error.status_code == 499, error
else:
    fal_client.subscribe(MODEL, arguments={"prompt": prompt}, with_logs=True, on_queue_update=lambda update: None)
print("done")
