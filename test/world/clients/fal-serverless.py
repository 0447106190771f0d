# Two pictures with fal's package for serverless apps, waited for and followed, and one line of JSON about them.

import json
import os

import fal.apps

model = os.environ["MODEL"]
first = fal.apps.run(model, arguments={"prompt": "picture 1"})
handle = fal.apps.submit(model, arguments={"prompt": "picture 2"})
for _ in handle.iter_events(logs=True):
    pass
made = [first, handle.get()]
print(json.dumps({"urls": [one["images"][0]["url"] for one in made], "seeds": [str(one["seed"]) for one in made]}))
