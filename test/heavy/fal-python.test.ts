// fal's own Python client, as published, over https with an authority of this test's own. It takes no other way than https.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { makeCertificate, type Certificate } from '../support/fal/certificate.ts'
import { pythonWithFalClient } from '../support/fal/python.ts'
import { gatewayStation, sandboxStation, type Station } from '../support/fal/stations.ts'
import { parseObject } from '../support/gateway.ts'
import { projectDir } from '../support/paths.ts'

const suite = join(projectDir, 'test', 'support', 'fal', 'suite.py')
const SUITE_TIMEOUT_MS = 120_000

/** What the suite prints a line about. */
const PROMISES = 10

async function pythonSuite (t: Test, python: string, station: Station, { caFile }: Certificate): Promise<void> {
  const withoutScheme = (base: string): string => base.replace('https://', '')
  const child = spawn(python, [suite, station.name, station.queueBase, station.sandboxBase], {
    // Nothing but this changes for a client of fal.
    env: { FAL_KEY: station.key, FAL_RUN_HOST: withoutScheme(station.runBase), FAL_QUEUE_RUN_HOST: withoutScheme(station.queueBase), SSL_CERT_FILE: caFile, PATH: '' },
    timeout: SUITE_TIMEOUT_MS,
    killSignal: 'SIGKILL',
    stdio: ['ignore', 'pipe', 'pipe']
  })
  let said = ''
  let complained = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => { said += text })
  child.stderr.setEncoding('utf8').on('data', (text: string) => { complained += text })
  await once(child, 'close')
  const kept = said.split('\n').filter(line => line !== '').map(line => String(parseObject(line)['kept']))
  for (const promise of kept) t.pass(promise)
  if (complained !== '') t.comment(complained)
  t.equal(child.exitCode, 0, 'the suite came to its end')
  t.equal(kept.length, PROMISES, 'every promise was looked at')
}

t.setTimeout(600_000)

t.test('fal\'s Python client', { timeout: 600_000 }, async t => {
  const found = await pythonWithFalClient()
  if ('missing' in found) {
    t.fail(found.missing)
    return
  }
  const { python } = found
  const certificate = makeCertificate(t)

  await t.test('at the gateway', async t => {
    const station = await gatewayStation(t, { certificate })
    await pythonSuite(t, python, station, certificate)
  })

  await t.test('straight at the sandbox', async t => {
    const station = await sandboxStation(t, { certificate })
    await pythonSuite(t, python, station, certificate)
  })
})
