# Two pictures with litellm, and one line of JSON about them.

import json
import os

import litellm

urls = []
for n in range(1, 3):
    made = litellm.image_generation(
        model="fal_ai/ultra", api_base=f"{os.environ['FALGATE_URL']}/fal/{os.environ['MODEL']}", api_key=os.environ["FAL_KEY"], prompt=f"picture {n}", aspect_ratio="16:9"
    )
    urls.append(made.data[0].url)
print(json.dumps({"urls": urls}))
