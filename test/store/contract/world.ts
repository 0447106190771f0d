// The world of one contract test: a ledger of its own, audited after every operation, and a clock that only the test moves.

import type { Test } from 'tap'
import type { Balance } from '../../../src/generation/accounts.ts'
import type { Admission, Admitted, End, Refused } from '../../../src/generation/admission.ts'
import type { Ending } from '../../../src/generation/evidence.ts'
import type { Generation } from '../../../src/generation/generation.ts'
import type { Ledger, LedgerTimes } from '../../../src/generation/ledger.ts'
import type { OwnAccount, UpstreamAccount } from '../../../src/upstream-account.ts'
import { admissionOf, freshId, never, successOf, times as usualTimes } from '../../support/admission.ts'

/** A store under test. Its clock stands where `setNow` put it. */
export interface Store {
  /** As a process of {@link owner} has it. */
  readonly ledger: Ledger
  /** The same as a process of another account has it, or of several, or (`null`) an operator's window. */
  readonly beside: (own: UpstreamAccount | readonly OwnAccount[] | null) => Ledger | Promise<Ledger>
  readonly setNow: (atMs: number) => void | Promise<void>
  /** From now on it is kept by this server. */
  readonly setServer: (server: string) => void
  /** One sentence for every broken invariant. */
  readonly audit: () => readonly string[] | Promise<readonly string[]>
  readonly close: () => void | Promise<void>
}

/** Whose ledger every store is. */
export const owner: UpstreamAccount = { kind: 'fal', name: 'main' }

/** Makes an empty store whose clock stands at `startMs`. */
export type MakeStore = (times: LedgerTimes, startMs: number) => Store | Promise<Store>

/** Noon, in a month of thirty days. */
export const startMs = Date.UTC(2026, 10, 22, 12)

export interface World {
  readonly ledger: Ledger
  /** The same without an audit after each operation, for tests of many; with {@link audit} at their end. */
  readonly unaudited: Ledger
  readonly audit: Store['audit']
  readonly beside: Store['beside']
  readonly nowMs: () => number
  readonly advance: (ms: number) => Promise<void>
  readonly setNow: (atMs: number) => Promise<void>
  readonly setServer: Store['setServer']
  /** Admits and fails unless something was bought. */
  readonly buy: (given?: Partial<Admission>) => Promise<Generation>
  /** Admits and gives the row of any answer that has one. */
  readonly admit: (given?: Partial<Admission>) => Promise<{ readonly outcome: Admitted['outcome'], readonly row: Generation }>
  /** Admits and fails unless it was refused. */
  readonly refused: (given?: Partial<Admission>) => Promise<Refused>
  /** Admits and fails unless the key led to something that was forgotten. */
  readonly gone: (given?: Partial<Admission>) => Promise<End>
  /** Claims and fails unless something was granted. */
  readonly go: (replica?: string) => Promise<Generation>
  /** What a claim answers when it grants nothing, or the id that it grants. */
  readonly claim: (given?: { readonly slots?: number, readonly claimId?: string, readonly deadlineMs?: number, readonly replica?: string }) => Promise<string>
  /** Buys, claims and reports as accepted under `requestId`. */
  readonly accepted: (requestId: string, given?: Partial<Admission>) => Promise<Generation>
  /** Buys and goes through to an end. */
  readonly ended: (ending?: Ending, given?: Partial<Admission>) => Promise<Generation>
  readonly row: (id: string) => Promise<Generation>
  /** What the tenant `studio` (or another owner) has held and spent this month. */
  readonly balance: (owner?: string) => Promise<Pick<Balance, 'held' | 'spent'>>
}

export async function createWorld (t: Test, make: MakeStore, given: Partial<LedgerTimes> = {}): Promise<World> {
  let nowMs = startMs
  const store = await make({ ...usualTimes, ...given }, startMs)
  t.teardown(() => store.close())
  const ledger = audited(store)

  async function setNow (atMs: number): Promise<void> {
    nowMs = atMs
    await store.setNow(atMs)
  }
  async function admit (given: Partial<Admission> = {}): Promise<{ outcome: Admitted['outcome'], row: Generation }> {
    const answer = await ledger.admit(admissionOf(given))
    if (!('row' in answer)) throw new Error(`No row was given: ${JSON.stringify(answer)}`)
    return answer
  }
  async function buy (given: Partial<Admission> = {}): Promise<Generation> {
    const { outcome, row } = await admit(given)
    if (outcome !== 'bought') throw new Error(`Nothing was bought: ${outcome}`)
    return row
  }
  async function go (replica = 'r1'): Promise<Generation> {
    const answer = await ledger.claim({ claimId: freshId(), deadlineMs: never, replica, slots: 1000 })
    if (answer.outcome !== 'go') throw new Error(`Nothing was granted: ${answer.outcome}`)
    return answer.row
  }
  async function accepted (requestId: string, given: Partial<Admission> = {}): Promise<Generation> {
    const { id } = await buy(given)
    const granted = await go()
    if (granted.id !== id) throw new Error(`Another one was granted: ${granted.id}`)
    await ledger.recordAccepted(id, granted.attempt, requestId)
    return present((await ledger.getMany([id]))[0])
  }

  return {
    ledger,
    unaudited: store.ledger,
    beside: async account => await store.beside(account),
    audit: store.audit,
    nowMs: () => nowMs,
    setNow,
    setServer: store.setServer,
    advance: ms => setNow(nowMs + ms),
    admit,
    buy,
    go,
    accepted,
    async refused (given = {}) {
      const answer = await ledger.admit(admissionOf(given))
      if (answer.outcome !== 'refused') throw new Error(`It was not refused: ${answer.outcome}`)
      return answer
    },
    async gone (given = {}) {
      const answer = await ledger.admit(admissionOf(given))
      if (answer.outcome !== 'gone') throw new Error(`It is not gone: ${answer.outcome}`)
      return answer.end
    },
    async claim ({ slots = 1000, claimId = freshId(), deadlineMs = never, replica = 'r1' } = {}) {
      const answer = await ledger.claim({ claimId, deadlineMs, replica, slots })
      return answer.outcome === 'go' ? answer.row.id : answer.outcome
    },
    async ended (ending = successOf(), given = {}) {
      const { id, attempt, requestId } = await accepted('request-' + freshId(), given)
      await ledger.finish(id, attempt, requestId ?? '', ending)
      return present((await ledger.getMany([id]))[0])
    },
    async row (id) {
      return present((await ledger.getMany([id]))[0])
    },
    async balance (owner = 'studio') {
      const [balance] = await ledger.balances([{ owner, per: 'month' }])
      return { held: balance?.held ?? NaN, spent: balance?.spent ?? NaN }
    }
  }
}

/** The row, or a failed test when there is none. */
export function present (row: Generation | null | undefined): Generation {
  if (row === null || row === undefined) throw new Error('There is no such row.')
  return row
}

/** The same ledger; an operation after which the store is not sound any more fails. */
export function audited ({ ledger, audit }: Pick<Store, 'ledger' | 'audit'>): Ledger {
  return new Proxy(ledger, {
    get (target, name) {
      const operation: unknown = Reflect.get(target, name)
      if (typeof operation !== 'function') return operation
      return (...given: unknown[]) => {
        const result: unknown = Reflect.apply(operation, target, given)
        // A store that is closed may be out of reach.
        if (!(result instanceof Promise) || name === 'close') return result
        return result.then(async answer => { await assertSound(audit, String(name)); return answer })
      }
    }
  })
}

async function assertSound (audit: Store['audit'], operation: string): Promise<void> {
  const faults = await audit()
  if (faults.length > 0) throw new Error(`After ${operation}: ${faults.join('; ')}`)
}
