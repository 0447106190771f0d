// Whatever goes wrong with any call to the file system while batches are appended and checkpoints are made: what was acknowledged is there at the next start, and nothing
// that was rejected.

import t, { type Test } from 'tap'
import type { DiskLog } from '../../../src/store/disk/log.ts'
import type { Place } from '../../../src/store/memory/texts.ts'
import { createFakeDisk, FOLDER, type Call, type FakeDisk } from './fake-disk.ts'
import { open } from './log-scene.ts'

/** The values of keys as they were acknowledged, each as its text, which lies beside its record. */
type Held = Map<string, { readonly text: string, readonly place: Place }>

interface Walk {
  readonly held: Held
  /** The first batch that was rejected since something was acknowledged. */
  rejected: ReadonlyMap<string, string>
  /** Appends and checkpoints that rejected. */
  failures: number
}

/** The same for the same seed. */
function randomOf (seed: number): () => number {
  let state = seed * 2654435761 % 4294967296
  return () => {
    state = (state * 1664525 + 1013904223) % 4294967296
    return state / 4294967296
  }
}

async function append (log: DiskLog, walk: Walk, random: () => number): Promise<void> {
  const values = new Map(Array.from({ length: 1 + Math.floor(random() * 3) }, () => [`key ${Math.floor(random() * 6)}`, `${random()} `.repeat(1 + Math.floor(random() * 40))]))
  try {
    const places = await log.append({ records: [...values.keys()].map((key, index) => JSON.stringify([key, index])), texts: [...values.values()] })
    for (const [index, [key, text]] of [...values].entries()) {
      const place = places[index]
      if (place === undefined) throw new TypeError('no place')
      walk.held.set(key, { text, place })
    }
    walk.rejected = new Map()
  } catch (error) {
    if (error instanceof TypeError) throw error
    walk.failures += 1
    if (walk.rejected.size === 0) walk.rejected = values
  }
}

async function checkpoint (log: DiskLog, walk: Walk, random: () => number): Promise<void> {
  try {
    const made = await log.beginCheckpoint()
    try {
      const moved: [key: string, from: Place, to: Place][] = []
      for (const [key, { text, place }] of walk.held) {
        const to = random() < 0.8 ? await made.keep(place) : await made.add(text)
        moved.push([key, place, to])
        await made.write([JSON.stringify([key, to])])
        if (random() < 0.3) await append(log, walk, random)
      }
      if (random() < 0.1) throw CALLED_OFF
      await made.commit()
      for (const [key, from, place] of moved) {
        const now = walk.held.get(key)
        if (now?.place === from) walk.held.set(key, { text: now.text, place })
      }
    } catch (error) {
      await made.abort()
      throw error
    }
  } catch (error) {
    if (error !== CALLED_OFF) walk.failures += 1
  }
}

const CALLED_OFF = new Error('called off')

async function steps (log: DiskLog, walk: Walk, random: () => number): Promise<void> {
  for (let step = 0; step < 8; step++) {
    if (random() < 0.25) await checkpoint(log, walk, random)
    else await append(log, walk, random)
    if (log.isFull) await log.makeRoom()
  }
}

/** Opens the disk, walks, starts again in the middle, and gives what must be there. */
async function walkOn (disk: FakeDisk, seed: number): Promise<Walk> {
  const random = randomOf(seed)
  const walk: Walk = { held: new Map(), rejected: new Map(), failures: 0 }
  for (let start = 0; start < 2; start++) {
    const opened = await open(FOLDER, disk).catch(() => null)
    if (opened === null) {
      walk.failures += 1
      continue
    }
    await steps(opened.log, walk, random)
    await opened.log.close().catch(() => { walk.failures += 1 })
  }
  return walk
}

/** What a start finds: the texts of the keys. */
async function found (disk: FakeDisk): Promise<Record<string, string>> {
  const { log, records, places } = await open(FOLDER, disk)
  const texts = new Map<string, string>()
  for (const [index, record] of records.entries()) {
    const [key, where] = JSON.parse(record)
    const place = typeof where === 'number' ? places[index]?.[where] : where
    // A slice may be older than what was moved since; only the last one counts.
    texts.set(key, place)
  }
  for (const [key, place] of texts) texts.set(key, await log.readText(Object(place)))
  await log.close()
  return Object.fromEntries(texts)
}

function textsOf (held: Held): Record<string, string> {
  return Object.fromEntries([...held].map(([key, { text }]) => [key, text]))
}

const SEEDS = [1, 3]
const CODES = ['EIO', 'ENOSPC']

/** Walks once for each call that the walk makes, with that fault; then opens the disk as it is, and as a power cut leaves it. */
async function eachCall (t: Test, seed: number, faultAt: (number: number) => FakeDisk['fault'], check: (walk: Walk, held: Record<string, string>, title: string) => void, isShort = false): Promise<void> {
  const whole = createFakeDisk()
  whole.isShort = isShort
  await walkOn(whole, seed)
  const calls = whole.calls()
  let met = 0
  for (let number = 1; number <= calls; number++) {
    const disk = createFakeDisk()
    disk.isShort = isShort
    disk.fault = faultAt(number)
    const walk = await walkOn(disk, seed)
    if (walk.failures > 0) met += 1
    disk.fault = () => null
    const after = disk.copy()
    disk.powerCut(randomOf(seed + number))
    const call = disk.log[number - 1]
    const title = `seed ${seed}, call ${number}, ${call?.name} ${call?.path}`
    check(walk, await found(after).catch(error => ({ error: String(error) })), title)
    check(walk, await found(disk).catch(error => ({ error: String(error) })), `${title}, then a power cut`)
  }
  t.ok(met > calls / 10, `${calls} calls, of which ${met} made something fail`)
}

for (const code of CODES) {
  t.test(`one call that fails with ${code}: all that was acknowledged is there, and nothing that was rejected`, async t => {
    for (const seed of SEEDS) {
      await eachCall(t, seed, number => call => call.number === number ? code : null, (walk, held, title) => {
        if (JSON.stringify(sorted(held)) !== JSON.stringify(sorted(textsOf(walk.held)))) t.same(held, textsOf(walk.held), title)
      }, seed === 1)
    }
  })
}

t.test('each sync that fails, from any call on, for a while: the same', async t => {
  for (const seed of SEEDS) {
    await eachCall(t, seed, number => call => call.number >= number && call.number < number + 6 && isSync(call) ? 'EIO' : null, (walk, held, title) => {
      if (JSON.stringify(sorted(held)) !== JSON.stringify(sorted(textsOf(walk.held)))) t.same(held, textsOf(walk.held), title)
    })
  }
})

t.test('a disk that takes nothing any more from any call on: all that was acknowledged is there, and at most the write that it met', async t => {
  for (const seed of SEEDS) {
    await eachCall(t, seed, number => call => call.number >= number ? 'EIO' : null, (walk, held, title) => {
      const isRight = [textsOf(walk.held), { ...textsOf(walk.held), ...Object.fromEntries(walk.rejected) }].some(one => JSON.stringify(sorted(one)) === JSON.stringify(sorted(held)))
      if (!isRight) t.same(held, textsOf(walk.held), title)
    })
  }
})

function isSync ({ name }: Call): boolean {
  return name.includes('sync')
}

function sorted (held: Record<string, string>): [string, string][] {
  return Object.entries(held).toSorted(([one], [other]) => one < other ? -1 : 1)
}
