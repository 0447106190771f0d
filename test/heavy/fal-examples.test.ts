// The examples of docs/fal-clients.md for fal's own clients, as they stand there, with nothing replaced but the gateway's name.

import { execFile } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { makeCertificate } from '../support/fal/certificate.ts'
import { pythonWithFalClient } from '../support/fal/python.ts'
import { gatewayStation } from '../support/fal/stations.ts'
import { projectDir } from '../support/paths.ts'

t.setTimeout(600_000)

const run = promisify(execFile)
const EXAMPLE_TIMEOUT_MS = 60_000

const page = readFileSync(join(projectDir, 'docs/fal-clients.md'), 'utf8')

/** The code blocks of the page in this language, for a gateway with this name. */
function examples (language: string, host: string): readonly string[] {
  return [...page.matchAll(new RegExp('^```' + language + '\\n(.*?)^```', 'gms'))].map(([, code = '']) => code.replaceAll('falgate.example', host))
}

t.test('the documented examples for cURL, Python and JavaScript make a picture each', async t => {
  const certificate = makeCertificate(t)
  const station = await gatewayStation(t, { certificate })
  const host = new URL(station.runBase).host
  const env = { FAL_KEY: station.key, PATH: process.env['PATH'] ?? '' }
  const dir = dirname(certificate.caFile)
  const [curl = '', hosts = ''] = examples('sh', host)

  await t.test('cURL', async t => {
    const { stdout } = await run('sh', ['-c', curl], { env: { ...env, CURL_CA_BUNDLE: certificate.caFile }, timeout: EXAMPLE_TIMEOUT_MS })
    t.match(JSON.parse(stdout), { images: [{ url: /^http/ }] })
  })

  await t.test('Python', async t => {
    const found = await pythonWithFalClient()
    if ('missing' in found) {
      t.fail(found.missing)
      return
    }
    const [code = ''] = examples('python', host)
    writeFileSync(join(dir, 'example.py'), code)
    const { stdout } = await run('sh', ['-c', `${hosts}\nexec "$0" "$1"`, found.python, join(dir, 'example.py')], { env: { ...env, SSL_CERT_FILE: certificate.caFile }, timeout: EXAMPLE_TIMEOUT_MS })
    t.match(stdout, /^Drawn by the sandbox, not by the model\n(?:.*\n)*http\S+\.png\n$/)
  })

  await t.test('JavaScript', async t => {
    const [code = ''] = examples('js', host)
    writeFileSync(join(dir, 'example.mjs'), code)
    const { stdout } = await run(process.execPath, [join(dir, 'example.mjs')], { env: { ...env, NODE_EXTRA_CA_CERTS: certificate.caFile }, timeout: EXAMPLE_TIMEOUT_MS })
    t.match(stdout, /^(?:Drawn by the sandbox, not by the model\n)*http\S+\.png [0-9a-f-]{36}\n$/)
  })

  t.equal(station.sandbox.bill.billedUnits, 3)
})
