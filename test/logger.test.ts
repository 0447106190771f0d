// Log lines can be read by machines, and hold no keys and no more of a prompt than was asked for.

import t from 'tap'
import { createLogger, createTroubleLog, describePrompt } from '../src/logger.ts'

function linesOf (write: (log: ReturnType<typeof createLogger>) => void, secrets: readonly string[] = []): readonly string[] {
  const lines: string[] = []
  write(createLogger({ level: 'info', destination: { write: line => { lines.push(line) } }, secrets: () => secrets }))
  return lines
}

t.test('a line is JSON with a text level, an RFC 3339 time and the service', async t => {
  const [line = ''] = linesOf(log => { log.info({ tenant: 'studio' }, 'answered') })
  t.match(JSON.parse(line), { level: 'info', time: /^\d{4}-\d\d-\d\dT[\d:.]+Z$/, service: 'falgate', pid: process.pid, tenant: 'studio', msg: 'answered' })
})

t.test('the level is kept', async t => {
  t.equal(linesOf(log => { log.debug('no'); log.warn('yes') }).length, 1)
})

t.test('headers with credentials are redacted wherever they stand', async t => {
  const headers = { authorization: 'MARK', cookie: 'MARK', 'set-cookie': 'MARK', accept: 'kept' }
  const [line = ''] = linesOf(log => {
    log.info({ ...headers, headers, req: { headers }, res: { headers }, err: Object.assign(new Error('a'), { headers }) }, 'a')
    log.child({ authorization: 'MARK', headers }).info('a')
  })
  t.notMatch(line, 'MARK')
  t.equal(line.split('kept').length - 1, 5)
})

t.test('the central key never appears, even inside an error\'s text', async t => {
  const lines = linesOf(log => {
    log.error({ err: new Error('refused: Key abc:def', { cause: new Error('abc:def') }) }, 'with abc:def')
    log.child({ a: 'abc:def' }).info('a')
  }, ['abc:def'])
  t.equal(lines.length, 2)
  t.notMatch(lines.join(), 'abc:def')
  t.match(lines[0], 'refused: Key [redacted]')
})

t.test('a prompt appears as asked for: not at all, as hash and length, or in full', async t => {
  t.same(describePrompt('a 🚲', 'off'), {})
  t.same(describePrompt('abc', 'hash'), { prompt_sha256: 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad', prompt_characters: 3 })
  t.equal(describePrompt('a 🚲', 'hash').prompt_characters, 3, 'characters, not code units')
  t.same(describePrompt('a 🚲', 'full'), { prompt: 'a 🚲' })
})

t.test('a trouble that goes on is a line every ten seconds, with how often it was met', async t => {
  let nowMs = 0
  const lines = linesOf(log => {
    const trouble = createTroubleLog(log, () => nowMs)
    for (; nowMs < 25_000; nowMs += 10) trouble('writing', new Error('away'))
    trouble('reading', new Error('away'))
  })
  t.match(lines.map(line => JSON.parse(line)), [{ msg: 'writing' }, { msg: 'writing', repeated: 999 }, { msg: 'writing', repeated: 999 }, { msg: 'reading' }])
  t.equal(lines.length, 4)
})
