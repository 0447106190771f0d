// What an instrumentation of ioredis may see of the ledger's calls.

import { Redis } from 'ioredis'
import { trace } from '@opentelemetry/api'
import { InMemorySpanExporter, NodeTracerProvider, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-node'
import t from 'tap'
import { createRedisLedger } from '../../src/store/redis/ledger.ts'
import { admissionOf, times } from '../support/admission.ts'
import { plainClient } from '../support/redis-store.ts'
import { startRedis } from '../support/redis.ts'

const spans = new InMemorySpanExporter()
const provider = new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(spans)] })
provider.register()
t.teardown(async () => { await provider.shutdown() })

/** As those that are published do it: a span for each command, with all arguments of those whose names begin with EVAL. */
const { sendCommand } = Redis.prototype
Redis.prototype.sendCommand = function (command, ...rest) {
  const text = /^eval/i.test(command.name) ? ` ${command.args.map(String).join(' ')}` : ''
  trace.getTracer('of ioredis').startSpan(command.name, { attributes: { 'db.query.text': command.name + text } }).end()
  return sendCommand.call(this, command, ...rest)
}
t.teardown(() => { Redis.prototype.sendCommand = sendCommand })

t.test('where Redis takes scripts only, no prompt is in a span of an instrumentation of ioredis', async t => {
  const { url } = await startRedis(t)
  await plainClient(t, url).call('ACL', 'SETUSER', 'default', '-fcall', '-function')
  const ledger = createRedisLedger({ url, namespace: 'fg', times })
  t.teardown(async () => { await ledger.close() })
  await ledger.connect()
  await trace.getTracer('of the server').startActiveSpan('a request', async span => {
    t.match(await ledger.admit(admissionOf({ input: '{"prompt":"a very private wish"}', deadlineMs: ledger.now() + 60_000 })), { outcome: 'bought' })
    span.end()
  })
  await provider.forceFlush()
  const told = spans.getFinishedSpans().map(({ name, attributes }) => `${name} ${JSON.stringify(attributes)}`)
  t.ok(told.some(text => text.startsWith('fcall')), 'commands were recorded, those too that were refused')
  t.same(told.filter(text => text.includes('very private')), [])
})
