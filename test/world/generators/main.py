# Eight pictures and a generation with the Python client, and one line of JSON about them.

import json
import os

from openapi_client import ApiClient, ApiException, Configuration, FalAiImagen4PreviewUltraInput, GenerationsApi, ModelsApi, PicturesApi

with ApiClient(Configuration(host=os.environ["FALGATE_URL"], access_token=os.environ["FALGATE_KEY"])) as client:
    pictures = PicturesApi(client)
    generations = GenerationsApi(client)
    seeds = [str(pictures.generate(FalAiImagen4PreviewUltraInput(prompt=f"python {n}")).seed) for n in range(1, 9)]
    created = generations.create_generation({"prompt": "python later"}, prefer="wait=30")
    listed = len(generations.list_generations().generations)
    model = ModelsApi(client).get_model("fal-ai/imagen4/preview/ultra").id
    refused = None
    try:
        pictures.generate(FalAiImagen4PreviewUltraInput(prompt="fits", seed=1), falgate_cache="never")
    except ApiException as error:
        refused = error.status
    print(json.dumps({"seeds": seeds, "created": str(created.id), "status": created.status, "listed": listed, "model": model, "refused": refused}))
