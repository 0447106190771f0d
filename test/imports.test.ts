// Imports point down, and the checker of that rule sees what it should.

import { readdirSync, readFileSync } from 'node:fs'
import { join, relative, sep } from 'node:path'
import t from 'tap'
import { violations } from './support/imports.ts'
import { projectDir } from './support/paths.ts'

t.test('every file of src/ imports only what its layer may', async t => {
  const root = join(projectDir, 'src')
  const files = readdirSync(root, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile() && entry.name.endsWith('.ts') && !entry.name.endsWith('.d.ts'))
    .map(entry => join(entry.parentPath, entry.name))
  const sources = new Map(files.map(file => [relative(root, file).split(sep).join('/'), readFileSync(file, 'utf8')]))
  t.ok(sources.has('cli.ts'), 'the sources were found')
  t.same(violations(sources).map(({ file, line, message }) => `src/${file}:${line} ${message}`), [])
})

const planted: readonly (readonly [title: string, sources: Readonly<Record<string, string>>, expected: string])[] = [
  ['a leaf that looks up', { 'money.ts': 'import { a } from \'./generation/a.ts\'', 'generation/a.ts': '' }, 'money.ts:1 leaf may not import generation/a.ts'],
  ['the core that knows HTTP', { 'generation/a.ts': '\nimport type { B } from \'../http/b.ts\'', 'http/b.ts': '' }, 'generation/a.ts:2 generation may not import http/b.ts'],
  ['a store that knows more than the port', { 'store/redis/a.ts': 'import \'../../generation/watch/b.ts\'', 'generation/watch/b.ts': '' }, 'store/redis/a.ts:1 store/redis may not import generation/watch/b.ts'],
  ['a door that runs a generation', { 'http/a.ts': 'import \'../generation/run/b.ts\'', 'generation/run/b.ts': '' }, 'http/a.ts:1 http may not import generation/run/b.ts'],
  ['a request that runs its generation', { 'generation/request/a.ts': 'import \'../run/b.ts\'', 'generation/run/b.ts': '' }, 'generation/request/a.ts:1 generation/request may not import generation/run/b.ts'],
  ['a door that knows a store', { 'http/a.ts': 'import \'../store/redis/b.ts\'', 'store/redis/b.ts': '' }, 'http/a.ts:1 http may not import store/redis/b.ts'],
  ['a store that knows the other', { 'store/redis/a.ts': 'import \'../memory/b.ts\'', 'store/memory/b.ts': '' }, 'store/redis/a.ts:1 store/redis may not import store/memory/b.ts'],
  ['a dynamic import', { 'money.ts': 'const a = await import(\'./app.ts\')', 'app.ts': '' }, 'money.ts:1 leaf may not import app.ts'],
  ['the sandbox that knows tenants', { 'sandbox/a.ts': 'import \'../tenants/book.ts\'', 'tenants/book.ts': '' }, 'sandbox/a.ts:1 sandbox may not import tenants/book.ts'],
  ['a door that imports the built-in models', { 'http/a.ts': 'import { b } from \'../models/built-in.ts\'', 'models/built-in.ts': '' }, 'http/a.ts:1 only cli.ts may import models/built-in.ts'],
  ['an app that does', { 'app.ts': 'import { b } from \'./models/built-in.ts\'', 'models/built-in.ts': '' }, 'app.ts:1 only cli.ts may import models/built-in.ts'],
  ['the core that knows a model by name', { 'generation/a.ts': 'import { b } from \'../models/b.ts\'', 'models/b.ts': '' }, 'generation/a.ts:1 models/b.ts may only be imported in models/'],
  ['a test from the sources', { 'money.ts': 'import \'../test/a.ts\'' }, 'money.ts:1 ../test/a.ts is not a file of src/'],
  ['fastify in the core', { 'generation/a.ts': 'import { fastify } from \'fastify\'' }, 'generation/a.ts:1 fastify may only be imported by http/, sandbox/'],
  ['a part of ioredis elsewhere', { 'app.ts': 'import \'ioredis/built/x.js\'' }, 'app.ts:1 ioredis/built/x.js may only be imported by store/redis/'],
  ['a validator beside the one', { 'http/a.ts': 'import { Ajv } from \'ajv\'' }, 'http/a.ts:1 ajv may only be imported by schema.ts'],
  ['a check of TypeBox', { 'tenants/a.ts': 'import { Value } from \'@sinclair/typebox/value\'' }, 'tenants/a.ts:1 @sinclair/typebox/value may not be imported'],
  ['undici in a door', { 'http/a.ts': 'import { request } from \'undici\'' }, 'http/a.ts:1 undici may only be imported by upstream/, catalogue/, media/, webhooks/'],
  ['process.env in the app', { 'app.ts': 'const a = 1\nexport const b = process.env[\'A\']' }, 'app.ts:2 only cli.ts reads process.env'],
  ['process.env by another way', { 'app.ts': 'import { env } from \'node:process\'' }, 'app.ts:1 only cli.ts reads process.env'],
  ['a barrel', { 'http/a.ts': 'export * from \'./b.ts\'', 'http/b.ts': '' }, 'http/a.ts:1 hands on what another file exports'],
  ['a circle', { 'models/a.ts': 'import \'./b.ts\'', 'models/b.ts': 'import \'./c.ts\'', 'models/c.ts': 'import \'./a.ts\'' }, 'models/c.ts:1 closes a circle: models/a.ts → models/b.ts → models/c.ts → models/a.ts']
]

for (const [title, sources, expected] of planted) {
  t.test(`the checker finds ${title}`, async t => {
    t.same(violations(new Map(Object.entries(sources))).map(({ file, line, message }) => `${file}:${line} ${message}`), [expected])
  })
}

t.test('the checker lets pass what is allowed', async t => {
  t.same(violations(new Map(Object.entries({
    'cli.ts': 'import \'./app.ts\'; import \'./models/built-in.ts\'; process.env',
    'models/built-in.ts': 'import \'./b.ts\'; import \'./models.ts\'',
    'models/models.ts': '',
    'models/b.ts': '',
    'app.ts': 'import \'./app/a.ts\'',
    'app/a.ts': 'import \'../http/a.ts\'; import \'../store/memory/b.ts\'',
    'http/a.ts': 'import { fastify } from \'fastify\'; import { type Logger } from \'pino\'; import \'../generation/c.ts\'',
    'store/memory/b.ts': 'import \'../../generation/c.ts\'',
    'generation/c.ts': 'import \'../money.ts\'; import \'../models/models.ts\'',
    'money.ts': ''
  }))), [])
})
