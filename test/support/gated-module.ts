// Puts the gated ledger in the place of the one in a folder while a gateway loads its modules.

import type { LoadHook } from 'node:module'

const MODULE = '/src/store/disk/ledger.js'
const gated = new URL('./gated-ledger.js', import.meta.url).href

export const load: LoadHook = async (url, context, next) => {
  if (!url.endsWith(MODULE)) return await next(url, context)
  const source = [
    `import { openDiskLedger as open } from '${url}?behind-the-gate'`,
    `import { gated } from '${gated}'`,
    'export const openDiskLedger = async options => gated(await open(options))'
  ].join('\n')
  return { format: 'module', shortCircuit: true, source }
}
