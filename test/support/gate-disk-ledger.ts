// To be imported by a gateway: node --import gate-disk-ledger.js … with LEDGER_GATE=<port>. Its ledger in a folder asks at that gate before each operation, and again
// before the answer is heard of: see `ledger-gate.ts`.

import { register } from 'node:module'

if (process.env['LEDGER_GATE'] !== undefined) register('./gated-module.js', import.meta.url)
