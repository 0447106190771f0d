// To be imported by a gateway: node --import brisk-terms.js … Terms that no setting has, or not as short, and that no test waits for: with HOOK_LEASE_MS=<milliseconds> one
// process has a webhook alone for so long, and with FAL_FILES_MS=<milliseconds> fal keeps files for so long after the end.

import { ledgerConstants } from '../../src/generation/ledger-constants.ts'
import { settings } from '../../src/settings.ts'

const { HOOK_LEASE_MS: hookLeaseMs, FAL_FILES_MS: falFilesMs } = process.env

if (hookLeaseMs !== undefined) Reflect.set(ledgerConstants, 'hookLeaseMs', Number(hookLeaseMs))
if (falFilesMs !== undefined) Reflect.set(settings.falFilesMs, 'fallback', Number(falFilesMs))
