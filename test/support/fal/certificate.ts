// A certificate for this machine, and the authority that vouches for it: made for one test, and gone with it.

import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'

export interface Certificate {
  /** The authority's own certificate, for clients. */
  readonly caFile: string
  readonly certFile: string
  readonly keyFile: string
}

const EC_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']

/** A certificate for `localhost`, `127.0.0.1` and these other names, in the folder of the test, or in `dir`. */
export function makeCertificate (t: Test, dir = t.testdir({}), names: readonly string[] = []): Certificate {
  const file = (name: string): string => join(dir, name)
  const openssl = (...args: string[]): void => { execFileSync('openssl', args, { stdio: 'ignore' }) }
  writeFileSync(file('extensions'), `subjectAltName=IP:127.0.0.1,${['localhost', ...names].map(name => `DNS:${name}`).join()}\nbasicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\n`)
  openssl('req', '-x509', ...EC_KEY, '-keyout', file('ca-key.pem'), '-out', file('ca.pem'), '-days', '1', '-subj', '/CN=falgate test authority', '-addext', 'keyUsage=critical,keyCertSign')
  openssl('req', ...EC_KEY, '-keyout', file('key.pem'), '-out', file('request.pem'), '-subj', '/CN=localhost')
  openssl('x509', '-req', '-in', file('request.pem'), '-CA', file('ca.pem'), '-CAkey', file('ca-key.pem'), '-CAcreateserial', '-out', file('cert.pem'), '-days', '1', '-extfile', file('extensions'))
  return { caFile: file('ca.pem'), certFile: file('cert.pem'), keyFile: file('key.pem') }
}
