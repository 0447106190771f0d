// What commands say that end by themselves: clear faults, chosen exit codes.

import { join } from 'node:path'
import t from 'tap'
import { builtInModels } from '../../src/models/built-in.ts'
import { parseTenants } from '../../src/tenants/book.ts'
import { identify } from '../../src/tenants/keys.ts'
import { runHere } from '../support/cli.ts'

/** What a check of the defaults says of a stop. */
const STOP_TOLD = 'a stop takes 73 s at most: give it more, as stop_grace_period or terminationGracePeriodSeconds\n'

t.test('what is not understood ends with 2, one line and a hint', async t => {
  t.same(await runHere(['frob']), { code: 2, stdout: '', stderr: 'falgate: there is no command "frob" (see falgate --help)\n' })
})

t.test('check and serve name every fault on a line of its own, without values and stack, and end with 1', async t => {
  const env = { FAL_KEY: 'the-secret-key', PORT: 'the-secret-port', LOG_LEVEL: 'loud' }
  for (const ended of await Promise.all([runHere(['check'], env), runHere([], env)])) {
    t.same(ended, {
      code: 1,
      stdout: '',
      stderr: 'falgate: PORT: expected a whole number from 0 to 65535\n' +
        'falgate: LOG_LEVEL: expected one of fatal, error, warn, info, debug, trace, silent\n' +
        'falgate: TENANTS_FILE: not set; it is required with a real fal key\n'
    })
  }
})

t.test('check reads the files that the environment names', async t => {
  const dir = t.testdir({ 'bad.json': '{"tenants":[{"id":"a"}]}', 'good.json': '{"tenants":[{"id":"a","keys":[]}]}', key: 'a:b' })
  const env = { FAL_KEY_FILE: join(dir, 'none'), TENANTS_FILE: join(dir, 'bad.json'), TLS_CERT_FILE: join(dir, 'key'), TLS_KEY_FILE: join(dir, 'none') }
  t.same(await runHere(['check'], env), {
    code: 1,
    stdout: '',
    stderr: 'falgate: TENANTS_FILE: /tenants/0/keys: is missing\n' +
      'falgate: FAL_KEY_FILE: the file cannot be read (ENOENT)\n' +
      'falgate: TLS_KEY_FILE: the file cannot be read (ENOENT)\n'
  })
  t.same(await runHere(['check'], { TLS_CERT_FILE: join(dir, 'key'), TLS_KEY_FILE: join(dir, 'key') }), {
    code: 1,
    stdout: '',
    stderr: 'falgate: TLS_CERT_FILE, TLS_KEY_FILE: the files do not hold a certificate and its key\n'
  })
  t.same(await runHere(['check'], { FAL_KEY_FILE: join(dir, 'key'), TENANTS_FILE: join(dir, 'good.json') }), {
    code: 0,
    stdout: `warning: tenant a has no budget\nwarning: tenant a has no key\nnot tried: whether fal can be reached, takes the key and has a balance\n${STOP_TOLD}the configuration is sound\n`,
    stderr: ''
  })
})

t.test('check names the accounts of a key file, and every mistake in it by its line, and no key', async t => {
  const dir = t.testdir({
    keys: '# ours\nmain abc:secret-of-main\nstudio ghi:secret-of-studio concurrency=4\n',
    wrong: 'main abc:secret-of-main\nmain ghi:secret-of-studio\nstudio abc:secret-of-main\n',
    'good.json': JSON.stringify({ tenants: [{ id: 'a', rateLimit: { max: 1, windowSeconds: 1 }, maxInFlight: 1, keys: [] }] })
  })
  const sound = await runHere(['check'], { FAL_KEY_FILE: join(dir, 'keys'), TENANTS_FILE: join(dir, 'good.json') })
  t.match(sound, { code: 0, stdout: /^accounts at fal: main \(10 at once\), studio \(4 at once\)$/m })
  const wrong = await runHere(['check'], { FAL_KEY_FILE: join(dir, 'wrong'), TENANTS_FILE: join(dir, 'good.json') })
  t.match(wrong, { code: 1, stderr: 'falgate: FAL_KEY_FILE: lines 1 and 2: the same name twice\nfalgate: FAL_KEY_FILE: lines 1 and 3: the same key twice\n' })
  t.notMatch(sound.stdout + sound.stderr + wrong.stdout + wrong.stderr, 'secret')
})

t.test('check tells how long an orchestrator has to wait for a stop, by what the environment says', async t => {
  const stdout = (seconds: number): RegExp => new RegExp(`^a stop takes ${seconds} s at most: give it more, `, 'm')
  t.match(await runHere(['check'], { NODE_ENV: 'production', FAL_KEY: 'sandbox' }), { code: 0, stdout: stdout(78) }, 'balancers hear of it first')
  t.match(await runHere(['check'], { WAIT_SECONDS: '10', DRAIN_DELAY_SECONDS: '30' }), { code: 0, stdout: stdout(93) }, 'a submit has its 45 s, however short callers wait')
  t.match(await runHere(['check'], { WAIT_SECONDS: '600' }), { code: 0, stdout: stdout(618) })
})

t.test('check warns of a name that is no setting, and operators\' commands name it where a setting is missing', async t => {
  const hint = 'FAL_CONCURENCY: is no setting of falgate; did you mean FAL_CONCURRENCY?'
  t.same(await runHere(['check'], { FAL_CONCURENCY: '3' }), { code: 0, stdout: `warning: ${hint}\n${STOP_TOLD}the configuration is sound\n`, stderr: '' })
  t.match(await runHere(['usage', '--csv'], { REDIS_URI: 'redis://a.example' }), { code: 1, stderr: /^falgate: REDIS_URL, DATA_DIR: neither is set.*\nfalgate: REDIS_URI: is no setting of falgate; did you mean REDIS_URL\?\n$/ })
})

t.test('check does not call a configuration sound whose Redis is away, and says what to do', async t => {
  t.same(await runHere(['check'], { REDIS_URL: 'redis://user:secret@127.0.0.1:1' }), {
    code: 1,
    stdout: '',
    stderr: 'falgate: REDIS_URL: the ledger there cannot be reached: connect ECONNREFUSED 127.0.0.1:1. Start it, or say in REDIS_URL where it is: until then a gateway buys nothing\n'
  })
})

t.test('production without a key does not start, and is told what to set', async t => {
  t.match(await runHere([], { NODE_ENV: 'production' }), { code: 1, stdout: '', stderr: /^falgate: FAL_KEY: not set; .*\n$/ })
})

t.test('key prints a key, and the line by which it is recognised', async t => {
  const { code, stdout, stderr } = await runHere(['key', 'studio'])
  t.match({ code, stderr }, { code: 0, stderr: '' })
  const [, key = '', line = ''] = /^ {2}(fg_\S+)\n[^]*^ {2}(\{.*\})$/m.exec(stdout) ?? []
  const read = parseTenants(`{"tenants":[{"id":"studio","keys":[${line}]}]}`, { models: builtInModels })
  t.match(read.ok && identify(read.book, `Bearer ${key}`, 0), { tenant: { id: 'studio' } })
})
