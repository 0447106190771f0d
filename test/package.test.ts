// The package as npm packs it holds what the gateway needs to run, its pages included.

import { execFileSync } from 'node:child_process'
import { cpSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Type } from '@sinclair/typebox'
import t from 'tap'
import { guardOf } from '../src/schema.ts'
import { layOutPackages } from './support/image.ts'
import { projectDir } from './support/paths.ts'
import { answering, freePort, start } from './support/processes.ts'

const isPacked = guardOf(Type.Array(Type.Object({ files: Type.Array(Type.Object({ path: Type.String() })) })))
const isManifest = guardOf(Type.Object({ bin: Type.Object({ falgate: Type.String() }) }))

/** The files of the package. */
function packedFiles (): readonly string[] {
  const packed: unknown = JSON.parse(execFileSync('npm', ['pack', '--dry-run', '--ignore-scripts', '--json'], { cwd: projectDir, encoding: 'utf8' }))
  if (!isPacked(packed)) throw new Error('npm pack has said something else')
  return packed.flatMap(({ files }) => files.map(({ path }) => path))
}

t.test('the files of the package, with what it depends on and nothing else, serve the playground and all of its parts', { timeout: 100_000 }, async t => {
  const dir = t.testdir()
  for (const path of packedFiles()) cpSync(join(projectDir, path), join(dir, path), { recursive: true })
  layOutPackages(dir)
  const manifest: unknown = JSON.parse(readFileSync(join(dir, 'package.json'), 'utf8'))
  if (!isManifest(manifest)) throw new Error('the package has no command')
  const port = await freePort()
  const base = `http://127.0.0.1:${port}/`
  await answering(start(t, [manifest.bin.falgate], { PORT: String(port) }, { cwd: dir, timeoutMs: 100_000 }), `${base}healthz`)

  const page = await fetch(base, { headers: { accept: 'text/html' } })
  t.match(page.headers.get('content-security-policy'), /script-src 'self'/)
  const seen = new Set([...(await page.text()).matchAll(/(?:src|href)="([^"]+)"/g)].map(([, part = '']) => new URL(part, base).href))
  for (const address of seen) {
    const part = await fetch(address)
    t.equal(part.status, 200, address)
    const text = await part.text()
    if (!/javascript/.test(part.headers.get('content-type') ?? '')) continue
    for (const [, imported = ''] of text.matchAll(/^import .*? from '([^']+)'/gm)) seen.add(new URL(imported, address).href)
  }
  t.ok(seen.has(`${base}playground/preact.js`), 'its library')
  t.ok(seen.size > 10, 'they were found')
  t.equal((await fetch(`${base}docs/`)).status, 200)
})
