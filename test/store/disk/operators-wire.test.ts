// What operators ask the process that has a folder, over its socket: a word that is taken lasts, and whatever is not a question is answered with a fault and ends.

import { text } from 'node:stream/consumers'
import t from 'tap'
import { createOperators } from '../../../src/generation/operators.ts'
import { openDiskLedger } from '../../../src/store/disk/ledger.ts'
import { askedOf, createAnswering } from '../../../src/store/disk/operators-wire.ts'
import { ownFolder, reachOwner } from '../../../src/store/disk/owner.ts'
import { admissionOf, freshId, successOf, times, traceLost } from '../../support/admission.ts'
import { owner as account, startMs } from '../contract/world.ts'
import { newFolder } from './log-scene.ts'

t.test('settle and correct are taken over the socket and last; nonsense, a line that is too long and a crowd are no harm', async t => {
  const folder = await newFolder(t)
  let nowMs = startMs
  const open = async (): ReturnType<typeof openDiskLedger> => await openDiskLedger({ folder, times, accounts: () => [account], wallNow: () => nowMs, onDamage: () => {}, onState: () => {}, onCheckpointFailure: () => {} })
  const { ledger, recount } = await open()
  const operators = { ...createOperators({ ...ledger, recount }), overview: async () => null }
  const owner = await ownFolder(folder, createAnswering(operators))
  const connect = async () => {
    const reached = await reachOwner(folder)
    if (reached === null) throw new Error('nobody is there')
    return reached.socket
  }
  const asked = askedOf(connect)

  const [lost, bought] = [admissionOf(), admissionOf()]
  for (const admission of [lost, bought]) await ledger.admit(admission, { claimId: freshId(), replica: 'r1', slots: 10 })
  await ledger.recordUnknown(lost.id, 1, null, traceLost)
  await ledger.recordAccepted(bought.id, 1, 'request')
  await ledger.finish(bought.id, 1, 'request', successOf())
  t.match(await asked.settle(lost.id, true), { done: false, text: /less than 10 minutes/ })
  nowMs += 11 * 60_000
  t.same(await asked.settle(lost.id, true), { done: true, text: `${lost.id} is settled as billed: $0.06 of studio is spent` })
  t.same(await asked.correct(bought.id, 120_000), { done: true, text: `${bought.id} is corrected: $0.12 of studio is spent instead of $0.06` })

  const answerTo = async (line: string): Promise<string> => {
    const socket = await connect()
    const answer = text(socket)
    socket.write(line)
    return await answer
  }
  for (const [line, fault] of [
    ['nonsense\n', /^\{"fault":/],
    ['[]\n', /^\{"fault":/],
    ['{"v":1,"command":"drop"}\n', /does not know this command/],
    ['{"v":2,"command":"unknown"}\n', /another version/],
    ['{"v":1,"command":"settle","id":7,"billed":"yes"}\n', /^\{"fault":/],
    ['x'.repeat(4 * 1024 * 1024 + 70_000), /too long/]
  ] as const) t.match(await answerTo(line), fault)
  const crowd = await Promise.all(Array.from({ length: 50 }, async () => await asked.correct(bought.id, null)))
  t.ok(crowd.every(({ done }) => done))
  await owner.close()
  await ledger.close()

  const again = await open()
  t.match(await again.ledger.balances([{ owner: 'studio', per: 'month' }]), [{ held: 0, spent: 180_000 }])
  t.same((await again.recount({ isMending: false })).differences, [])
  await again.ledger.close()
})

t.test('of more connections than are answered at once each one more is told to ask again, and is answered when there is room', async t => {
  const folder = await newFolder(t)
  const { ledger, recount } = await openDiskLedger({ folder, times, accounts: () => [account], wallNow: () => startMs, onDamage: () => {}, onState: () => {}, onCheckpointFailure: () => {} })
  const owner = await ownFolder(folder, createAnswering({ ...createOperators({ ...ledger, recount }), overview: async () => null }))
  const connect = async () => {
    const reached = await reachOwner(folder)
    if (reached === null) throw new Error('nobody is there')
    return reached.socket
  }
  const asked = askedOf(connect)
  const question = async (): Promise<unknown> => await asked.recount(false)

  const silent = await Promise.all(Array.from({ length: 64 }, connect))
  await t.rejects(question(), { message: 'The gateway is asked by so many at once that it cannot answer: ask again' })
  const long = await connect()
  const answer = text(long)
  long.on('error', () => {}) // it may be ended before all of this was sent
  long.write('x'.repeat(1024 * 1024))
  t.match(await answer, /ask again/, 'also one that says much')
  for (const socket of silent) socket.end()
  await Promise.all(silent.map(async socket => await text(socket)))
  t.ok(await question(), 'those that ended leave room')
  await owner.close()
  await ledger.close()
})
