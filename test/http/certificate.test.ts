// The certificate that callers are shown, and what happens when its files change.

import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { connect } from 'node:tls'
import t from 'tap'
import { makeCertificate } from '../support/fal/certificate.ts'
import { cliFile } from '../support/paths.ts'
import { freePort, start } from '../support/processes.ts'
import { until } from '../support/until.ts'

/** The fingerprint of what is shown to somebody who connects now; `null`: nobody is there. */
async function shownAt (port: number): Promise<string | null> {
  return await new Promise(resolve => {
    const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false }, () => {
      resolve(socket.getPeerCertificate().fingerprint256)
      socket.destroy()
    })
    socket.on('error', () => { resolve(null) })
  })
}

t.test('a new certificate is shown when its files change, and on SIGHUP; a pair that does not fit is refused in a line', async t => {
  const dir = t.testdir({})
  const pairs = ['one', 'other', 'third'].map(name => {
    mkdirSync(join(dir, name))
    return makeCertificate(t, join(dir, name))
  })
  const [certFile, keyFile] = [join(dir, 'shown.pem'), join(dir, 'shown-key.pem')]
  const put = (place: number): void => {
    const pair = pairs[place]
    if (pair === undefined) throw new Error('there is no such pair')
    copyFileSync(pair.certFile, certFile)
    copyFileSync(pair.keyFile, keyFile)
  }
  put(0)
  const port = await freePort()
  const running = start(t, [cliFile, 'serve'], { PORT: String(port), NODE_ENV: 'production', FAL_KEY: 'sandbox', TLS_CERT_FILE: certFile, TLS_KEY_FILE: keyFile })
  let logged = ''
  running.child.stdout?.on('data', text => { logged += String(text) })
  await until(() => logged.includes('"msg":"ready"'))
  const first = await shownAt(port)
  t.ok(first)

  put(1)
  await until(async () => ![first, null].includes(await shownAt(port)), { what: 'the new certificate is shown without a signal' })
  const second = await shownAt(port)

  writeFileSync(certFile, 'no certificate')
  running.child.kill('SIGHUP')
  await until(() => logged.includes('certificate refused, the old one stays in force'))
  t.equal(await shownAt(port), second)

  put(2)
  running.child.kill('SIGHUP')
  await until(async () => ![first, second, null].includes(await shownAt(port)))
  running.child.kill('SIGINT')
  t.match(await running.ended, { code: 0, stderr: '' })
})
