// The ledger of a gateway, each of whose operations asks at a gate (`ledger-gate.ts`).

import { once } from 'node:events'
import { connect } from 'node:net'
import { createInterface } from 'node:readline'
import type { Ledger } from '../../src/generation/ledger.ts'
import type { DiskStore } from '../../src/store/disk/ledger.ts'

/** What is no call. */
const LOCAL = new Set(['now', 'listen', 'answerOpen', 'beside', 'audit', 'close'])

export async function gated (store: DiskStore): Promise<DiskStore> {
  const socket = connect(Number(process.env['LEDGER_GATE']), '127.0.0.1')
  await once(socket, 'connect')
  socket.unref()
  const waiting: ((word: string) => void)[] = []
  createInterface({ input: socket }).on('line', word => { waiting.shift()?.(word) })

  async function ask (about: object): Promise<string> {
    socket.write(JSON.stringify(about) + '\n')
    return await new Promise(resolve => { waiting.push(resolve) })
  }

  const { ledger } = store
  const gatedLedger = { ...ledger }
  for (const [name, operation] of Object.entries(ledger)) {
    if (LOCAL.has(name)) continue
    Reflect.set(gatedLedger, name, async (...given: unknown[]) => {
      const isPaused = await ask({ operation: name, when: 'before' }) === 'no-claims'
      const answer: unknown = isPaused && name === 'claim' ? waits(ledger) : await Reflect.apply(operation, ledger, isPaused && name === 'admit' ? given.slice(0, 1) : given)
      await ask({ operation: name, when: 'after', answer: JSON.stringify(answer) ?? '' })
      return answer
    })
  }
  return { ...store, ledger: gatedLedger }
}

function waits (ledger: Ledger): object {
  return { outcome: 'wait', untilMs: ledger.now() + 50 }
}
