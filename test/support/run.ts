// `npm run test:one -- test/http/errors.test.ts …`: runs the given tests alone, by the names of their sources. Whatever is no source is an option of tap.

import { spawn } from 'node:child_process'

const given = process.argv.slice(2)
const args = given.map(arg => /^(\.\/)?test\/.*\.ts$/.test(arg) ? arg.replace(/^(\.\/)?test\/(.*)\.ts$/, 'build/test/$2.js') : arg)
if (!args.some(arg => arg.startsWith('build/test/'))) {
  process.stderr.write('test:one: name one test or several, as in npm run test:one -- test/http/generate.test.ts\n')
  process.exit(2)
}
spawn('tap', args, { stdio: 'inherit' }).on('close', code => { process.exitCode = code ?? 1 })
