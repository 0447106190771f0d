// OpenAI's image API as a door, for the tools that speak it.

import type { FastifyInstance } from 'fastify'
import { Problem } from '../../errors.ts'
import { editRoutes, type EditsDeps } from './edits.ts'
import { imageRoutes } from './images.ts'
import { openAiModelRoutes } from './models.ts'
import { sendOpenAiProblem } from './render.ts'

/** What the addresses of OpenAI's door begin with. */
const OPENAI_PREFIX = '/v1'

/** Has to be registered where callers are authenticated. */
export async function openAiDoor (scope: FastifyInstance, deps: EditsDeps): Promise<void> {
  await scope.register(async openai => {
    openai.setErrorHandler(sendOpenAiProblem)
    // So that an address that does not exist is answered in OpenAI's manner, too.
    openai.setNotFoundHandler(() => { throw new Problem('no-such-route') })
    imageRoutes(openai, deps)
    await editRoutes(openai, deps)
    openAiModelRoutes(openai, deps)
  }, { prefix: OPENAI_PREFIX })
}
