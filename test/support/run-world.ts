// `npm run test:world -- generators …`: the shards below `test/world` that are named. Whatever begins with a dash is an option of tap.

import { spawn } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const SUFFIX = '.test.js'
const shards = readdirSync(join(dirname(fileURLToPath(import.meta.url)), '..', 'world')).filter(name => name.endsWith(SUFFIX)).map(name => name.slice(0, -SUFFIX.length))
const given = process.argv.slice(2)
const named = given.filter(one => !one.startsWith('-'))
const unknown = named.filter(one => !shards.includes(one))
if (named.length === 0 || unknown.length > 0) {
  process.stderr.write(`test:world: name one of ${shards.join(', ')}, or several\n`)
  process.exit(2)
}
// They install and compile, and one machine of theirs is enough.
spawn('tap', ['--jobs=1', '--timeout=3600', ...given.filter(one => one.startsWith('-')), ...named.map(one => `build/test/world/${one}${SUFFIX}`)], { stdio: 'inherit' }).on('close', code => { process.exitCode = code ?? 1 })
