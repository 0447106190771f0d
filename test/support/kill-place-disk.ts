// Where gateways die on a folder: one process at a time has it, and the one that goes on is the next to die.

import { readdir, readFile, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Test } from 'tap'
import { openDiskLedger } from '../../src/store/disk/ledger.ts'
import { createFakeDisk, FOLDER } from '../store/disk/fake-disk.ts'
import { times } from './admission.ts'
import { patiently } from './crowd.ts'
import { startHookReceiver } from './kill-hooks.ts'
import type { Point } from './kill-points.ts'
import { ALL_DEATHS_MS, briskNode, placeEnv, tenantsFor, type Cast, type Place, type Window } from './kill-scene.ts'
import { startLedgerGate, type LedgerGate } from './ledger-gate.ts'
import { projectDir } from './paths.ts'
import { deploy, LONG_LEASE, type Replica } from './replicas.ts'
import { until } from './until.ts'

export interface DiskPlace extends Place {
  /** The operations that were asked of the ledger so far. */
  readonly asked: () => ReadonlySet<string>
  /** Asserts that nothing is left in the folder that grows, and that who goes on last stops as usual. */
  readonly end: (t: Test) => Promise<void>
}

interface Serving { readonly replica: Replica, readonly gate: LedgerGate }

/** A place for these deaths. */
export async function openDiskPlace (t: Test, points: readonly Point[]): Promise<DiskPlace> {
  const mediaFolder = join(t.testdir({}), 'media')
  const receiver = await startHookReceiver(t)
  const { sandbox, tenantsFile, startReplica } = await deploy(t, {
    node: [...briskNode, '--import', join(projectDir, 'build/test/support/gate-disk-ledger.js')],
    env: { ...placeEnv(points, mediaFolder, receiver), ...points.some(({ isLeaseLong }) => isLeaseLong) ? LONG_LEASE : {} },
    sandbox: { runMs: 10 },
    tenants: tenantsFor(points.length, receiver),
    replicaTimeoutMs: ALL_DEATHS_MS
  })
  const folder = join(dirname(tenantsFile), 'ledger')
  const asked = new Set<string>()
  const start = async (gate: LedgerGate): Promise<Serving> => ({ gate, replica: await startReplica({ REDIS_URL: '', REDIS_NAMESPACE: '', DATA_DIR: folder, LEDGER_GATE: String(gate.port) }) })
  const newGate = async (): Promise<LedgerGate> => await startLedgerGate(t, operation => { asked.add(operation) })

  async function startAnother (): Promise<Serving> {
    const gate = await newGate()
    // From its first claim on it has claims come along with admissions.
    const hasClaimed = gate.untilAnswered('claim')
    const started = await start(gate)
    await hasClaimed
    return started
  }

  let serving = await startAnother()

  async function enter (inherits: boolean): Promise<Cast> {
    const { replica: front, gate } = serving
    const heirsGate = inherits ? await newGate() : null
    let goesOn = (_replica: Replica): void => {}
    const next = new Promise<Replica>(resolve => { goesOn = resolve })
    return {
      gate: heirsGate ?? gate,
      front,
      doomed: () => serving.replica,
      killOwner: async () => {
        front.child.kill('SIGKILL')
        await front.ended
        // It may stop before it has said that it serves.
        if (heirsGate !== null) serving = await start(heirsGate)
      },
      join: async ask => ({ answer: ask(serving.replica).catch(async () => await patiently(async () => await ask(await next))) }),
      flush: async () => { throw new Error('a folder is not emptied') },
      goOn: async () => {
        serving = await startAnother()
        goesOn(serving.replica)
        return serving.replica
      }
    }
  }

  async function end (t: Test): Promise<void> {
    const { replica, gate } = serving
    await until(async () => {
      const before = await bytesIn(folder)
      for (let sweep = 0; sweep < 3; sweep += 1) await gate.untilAnswered('sweep')
      return await bytesIn(folder) === before
    }, { what: 'a gateway that has nothing to do writes nothing' })
    const names = (await readdir(folder)).filter(name => !/^\d{6}\.log$/.test(name)).toSorted()
    t.match(names, [/^owner-\d+\.sock$/, 'reserve'], 'no file of the dead is left behind')
    t.equal(names.length, 2)
    replica.child.kill('SIGTERM')
    t.equal((await replica.ended).code, 0, 'it stops as usual')
  }

  return { sandbox, mediaFolder, receiver, tenants: [], look: async use => await look(folder, use), pauseClaims: async () => serving.gate.pauseClaims(), enter, asked: () => asked, end }
}

/** As a copy of the folder has it, which another process is writing to. */
async function look<Seen> (folder: string, use: (ledger: Window) => Promise<Seen>): Promise<Seen> {
  const names = (await readdir(folder)).filter(name => /\.(log|snapshot|texts)$/.test(name))
  const files = createFakeDisk(new Map(await Promise.all(names.map(async name => [name, await readFile(join(folder, name))] as const))))
  const { ledger } = await openDiskLedger({ folder: FOLDER, files, times, accounts: () => [], onDamage: () => {}, onState: () => {}, onCheckpointFailure: () => {} })
  try {
    return await use(ledger.beside(null))
  } finally {
    await ledger.close()
  }
}

async function bytesIn (folder: string): Promise<number> {
  const sizes = await Promise.all((await readdir(folder)).map(async name => (await stat(join(folder, name))).size))
  return sizes.reduce((sum, size) => sum + size, 0)
}
