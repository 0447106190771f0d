// The OpenAPI document as a running gateway serves it.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { startApp } from '../../src/app.ts'
import { builtInModels } from '../../src/models/built-in.ts'
import { demoTenants } from '../../src/tenants/book.ts'
import { configOf, parseObject } from './gateway.ts'
import { projectDir } from './paths.ts'

/** Where the generated document is checked in. */
export const openapiFile = join(projectDir, 'openapi', 'openapi.json')

/** Starts a gateway, asks it for its document and gives it back as it is checked in. */
export async function currentOpenapi (): Promise<string> {
  const manifest = parseObject(readFileSync(join(projectDir, 'package.json'), 'utf8'))
  const app = await startApp({ config: configOf(), models: builtInModels, tenants: demoTenants(builtInModels), falKeys: null, redisUrl: null, version: String(manifest['version']) })
  try {
    const response = await fetch(`${app.url}/openapi.json`)
    return JSON.stringify(await response.json(), null, 2) + '\n'
  } finally {
    await app.close()
  }
}
