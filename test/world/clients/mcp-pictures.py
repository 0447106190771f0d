# Two pictures with an agent's tool: fal's server for the Model Context Protocol as a process, and one line of JSON about them.

import asyncio
import json
import os
import re
import sys

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client


async def main():
    server = StdioServerParameters(command=os.path.join(os.path.dirname(sys.executable), "fal-mcp"), env=dict(os.environ))
    urls = []
    async with stdio_client(server) as (read, write), ClientSession(read, write) as session:
        await session.initialize()
        for n in range(1, 3):
            told = await session.call_tool("generate_image", {"prompt": f"picture {n}", "model": os.environ["MODEL"]})
            urls.append(re.search(r"https://\S+?(?=[\s)\"'\]]|$)", told.content[0].text).group(0))
    print(json.dumps({"urls": urls}))


asyncio.run(main())
