"""
Makes pictures with fal's own Python client, or cancels them: whatever is lost on the way, the client repeats it by itself. Prints the output, null after a cancel.

Arguments: run, subscribe or cancel; where the gateway is; the model; the input and headers of the call, both as JSON.
"""

import json
import sys

import fal_client

call, base, model, arguments, headers = sys.argv[1:]
arguments, headers = json.loads(arguments), json.loads(headers)

# The one thing that is not as published: connections that a test can look into. The client itself takes https only.
fal_client.client.RUN_URL_FORMAT = f"{base}/fal/"
fal_client.client.QUEUE_URL_FORMAT = f"{base}/fal/queue/"

output = None
if call == "run":
    output = fal_client.run(model, arguments=arguments, headers=headers)
elif call == "cancel":
    handle = fal_client.submit(model, arguments=arguments, headers=headers)
    handle.cancel()
    try:
        handle.get()
    except fal_client.FalClientHTTPError as error:
        assert error.status_code == 499, error
else:
    output = fal_client.subscribe(model, arguments=arguments, headers=headers, with_logs=True, on_queue_update=lambda update: None)
print(json.dumps(output))
