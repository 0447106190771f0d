// A look at a Redis from outside the ledger: what could be wrong with it, without changing anything of the ledger.

import { Problem } from '../../errors.ts'
import { recordOf, textOf } from '../../generation/fields.ts'
import type { StoreFault } from '../../store-faults.ts'
import { accountText, BETWEEN_ACCOUNTS, foreignLedgerSentence, UNMARKED_LEDGER, type UpstreamAccount } from '../../upstream-account.ts'
import { selectDatabase, serverAt, type RedisClient, type RedisServer } from './clients.ts'
import { loadLibrary, serverOf } from './cluster.ts'
import { conditionOf, type Condition } from './condition.ts'
import { createConnection, type Connection } from './connection.ts'
import { placeOf } from './ownership.ts'
import { Unusable, withoutCommand } from './redis-errors.ts'
import { readScripts } from './script.ts'
import { faultsOf, readInfo, type ServerFacts } from './server.ts'
import { textsIn } from './wire-rows.ts'

/** What a look found out; `cause` is why there was none. */
export type Inspected = Looked | { readonly isReached: false, readonly cause: unknown }

/** A Redis that answered. */
export interface Looked {
  readonly isReached: true
  readonly server: ServerFacts
  readonly faults: ReadonlyMap<StoreFault, string>
  /** Could it be found out which commands its user may run? */
  readonly areRightsKnown: boolean
  /** Whose ledger it is, as ledgers tell it; `null`: it is empty. */
  readonly ledger: string | null
  /** How it is at this moment, where that was asked for and could be found out. */
  readonly condition: Condition | null
}

export interface InspectOptions {
  /** The tag of the ledger's keys. */
  readonly namespace: string
  /** Whose process looks: the accounts that it has keys of. */
  readonly accounts: readonly UpstreamAccount[]
  /** After this long the way there is given up. */
  readonly withinMs: number
  /** Measures, too, and loads the library of the ledger's functions as a start does, where nothing else tells what the user may do. */
  readonly isThorough?: boolean
}

const DEADLINE_MS = 800

/** Looks at the server that has the keys of this namespace, as a process of these accounts would find it. Never rejects. */
export async function inspect (url: string | RedisServer, { namespace, accounts, withinMs, isThorough = false }: InspectOptions): Promise<Inspected> {
  const server = typeof url === 'string' ? serverAt(url, DEADLINE_MS) : url
  const { isCluster } = server
  const key = `{${namespace}}:`
  const looks: Looked[] = []
  const connection = createConnection({
    server,
    deadlineMs: DEADLINE_MS,
    prepare: async client => {
      await selectDatabase(client, server.database)
      const facts = readInfo(await serverOf(client, key).info())
      const kind = faultsOf(facts, { isCluster }).get('wrong-kind')
      // A Sentinel knows none of the commands that follow, and a node of a cluster may not have the keys.
      if (kind !== undefined) throw new Unusable(kind)
      // A replica of Redis refuses every script, and ioredis ends the connection then.
      const missing = facts.isReplica ? null : await missingRights(client, namespace, isThorough)
      const faults = faultsOf(facts, { isCluster, missing: missing ?? [] })
      const ledger = await ledgerIn(client, namespace)
      const known = ledger?.split(BETWEEN_ACCOUNTS) ?? []
      const isForeign = ledger !== null && !accounts.some(account => known.includes(accountText(account)))
      looks.push({
        isReached: true,
        server: facts,
        faults: isForeign ? new Map([...faults, ['foreign', foreignLedgerSentence(ledger, accounts, placeOf(namespace))]]) : faults,
        areRightsKnown: missing !== null,
        ledger,
        condition: null
      })
    },
    onTrouble: () => {},
    onState: () => {}
  })
  try {
    await connection.open(withinMs)
    const look = looks.at(-1)
    if (look === undefined) throw new Error('Redis was not looked at.')
    return isThorough ? { ...look, condition: await measured(connection, key).catch(() => null) } : look
  } catch (error) {
    return { isReached: false, cause: error instanceof Problem ? error.facts.cause : error }
  } finally {
    connection.close()
  }
}

async function measured (connection: Connection, key: string): Promise<Condition> {
  return await conditionOf(async question => await connection.run(async client => {
    const server = serverOf(client, key)
    return question === 'time' ? await server.time() : await server.info()
  }))
}

/**
 * The commands that this user may not run; `null`: that cannot be found out without loading the library. A user may be allowed functions, or scripts, or both.
 */
async function missingRights (client: RedisClient, namespace: string, loads: boolean): Promise<readonly string[] | null> {
  const { library, unbounded: { functionName, script } } = readScripts()
  const given = [`{${namespace}}:glob`, `{${namespace}}:nothing`, 'ping', '{}', '{"rights":true}', ''] as const
  const callFunction = async (): Promise<Tried> => await tried(async () => await client.fcall(functionName, 2, ...given))
  const called = await callFunction()
  if (called.kind === 'answer') return called.missing
  const evaluated = await tried(async () => await client.eval(script.source, 2, ...given))
  if (evaluated.kind === 'answer') return evaluated.missing
  if (called.kind === 'refused' && evaluated.kind === 'refused') return NEITHER
  // An older server knows no functions, and tells about scripts when they do not compile.
  if (called.kind !== 'not-there' || evaluated.kind !== 'refused' || !loads) return null
  await loadLibrary(client, library)
  const again = await callFunction()
  if (again.kind === 'answer') return again.missing
  return again.kind === 'not-there' ? ['FUNCTION|LOAD'] : null
}

/** What starts all that the ledger does. */
const NEITHER = ['FCALL', 'FUNCTION|LOAD']

/** An answer; a word that this user may not; or that there is no such function yet. */
type Tried = { readonly kind: 'answer', readonly missing: readonly string[] } | { readonly kind: 'refused' | 'not-there' | 'failed' }

async function tried (call: () => Promise<unknown>): Promise<Tried> {
  try {
    return { kind: 'answer', missing: textsIn(recordOf(JSON.parse(textOf(await call())))['answer']) }
  } catch (error) {
    const { message } = withoutCommand(error)
    if (/^ERR Function not found/.test(message)) return { kind: 'not-there' }
    return { kind: /^NOPERM .*\bcommand\b/.test(message) ? 'refused' : 'failed' }
  }
}

/** Whose ledger it is, as the scripts tell it; `null`: it is empty. */
async function ledgerIn (client: RedisClient, namespace: string): Promise<string | null> {
  const [upstream, sequence, counter, others] = await client.hmget(`{${namespace}}:glob`, 'upstream', 'sequence', 'counter', 'accounts')
  if (upstream == null) return sequence == null && counter == null ? null : UNMARKED_LEDGER
  return others == null ? upstream : upstream + BETWEEN_ACCOUNTS + others
}
