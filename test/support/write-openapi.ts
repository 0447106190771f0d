// `npm run openapi`: writes the checked-in document.

import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { currentOpenapi, openapiFile } from './openapi.ts'

mkdirSync(dirname(openapiFile), { recursive: true })
writeFileSync(openapiFile, await currentOpenapi())
