# Makes the calls of CALLS with OpenAI's library, and prints what came of each as one line of JSON.

import base64
import json
import os

import openai

client = openai.OpenAI(base_url=os.environ["OPENAI_BASE_URL"], api_key=os.environ["OPENAI_API_KEY"])


def head(picture):
    return base64.b64decode(picture)[:8].hex()


def make(call):
    extra = {name: call.pop(name) for name in ("seed", "aspect_ratio") if name in call}
    edit = call.pop("edit", 0)
    picture = base64.b64decode(os.environ["PICTURE"])
    try:
        if edit:
            answer = client.images.edit(image=picture if edit == 1 else [picture] * edit, **call, extra_body=extra)
        else:
            answer = client.images.generate(**call, extra_body=extra)
        if call.get("stream"):
            return {"files": [head(event.b64_json) for event in answer if event.type == "image_generation.completed"]}
        return {
            "created": answer.created,
            "urls": [one.url for one in answer.data if one.url],
            "files": [head(one.b64_json) for one in answer.data if one.b64_json],
            "seeds": [str(one.seed) for one in answer.data if hasattr(one, "seed")],
        }
    except openai.APIStatusError as error:
        return {"error": {"status": error.status_code, "code": error.code, "param": error.param, "message": error.message}}


outcomes = [make(call) for call in json.loads(os.environ["CALLS"])]
print(json.dumps({"models": [model.id for model in client.models.list()], "outcomes": outcomes}))
