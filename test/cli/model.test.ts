// `falgate model` as an operator uses it, with fal's catalogue played here: one file for each model, a sentence for whatever is wrong, chosen exit codes.

import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { runHere, type Said } from '../support/cli.ts'
import { playCatalogue, type Played, type PlayedCatalogue } from '../support/catalogue.ts'
import { DOCUMENT_ID, falDocument, falDocumentText, plainInput, plainOutput } from '../support/fal-documents.ts'
import { tenant } from '../support/gateway.ts'
import { listen } from '../support/listen.ts'
import { modelFile } from '../support/model-files.ts'
import { codeBlocksOf, pageAt } from '../support/pages.ts'

const NAME = 'acme__painter__v1.json'
const input = {
  type: 'object',
  required: ['prompt'],
  properties: {
    prompt: { type: 'string', maxLength: 500, examples: ['It\'s a fair\u009b'] },
    num_images: { type: 'integer', minimum: 1, maximum: 4, default: 1 },
    resolution: { enum: ['1K', '4K'], default: '1K' }
  }
}
const document = falDocumentText(input)

interface Desk extends PlayedCatalogue {
  readonly dir: string
  readonly run: (args: readonly string[], env?: Readonly<Record<string, string>>) => Promise<Said>
  /** The content of the model's file. */
  readonly file: () => Record<string, unknown>
  readonly names: () => readonly string[]
}

async function desk (t: Test, played: Played = document): Promise<Desk> {
  const dir = mkdtempSync(join(tmpdir(), 'falgate-desk-'))
  t.teardown(() => { rmSync(dir, { recursive: true }) })
  const catalogue = await playCatalogue(t)
  catalogue.documents.set(DOCUMENT_ID, played)
  return {
    ...catalogue,
    dir,
    run: async (args, env = {}) => await runHere(['model', ...args], { MODELS_DIR: dir, ...catalogue.env, ...env }),
    file: () => JSON.parse(readFileSync(join(dir, NAME), 'utf8')),
    names: () => readdirSync(dir)
  }
}

const priced = ['--usd', '0.05', '--per', 'image']

t.test('add shows what it understood, and writes one file with the document as it came', async t => {
  const { run, file, names, dir, asked } = await desk(t)
  const { code, stdout, stderr } = await run(['add', DOCUMENT_ID, ...priced])
  t.same({ code, stderr }, { code: 0, stderr: '' })
  for (const part of [
    /^acme\/painter\/v1 {2}\(text-to-image\)$/m,
    /^ {2}prompt +text, up to 500 characters, required$/m,
    /^ {2}num_images +whole number, 1 to 4 = 1$/m,
    /^ {2}resolution +one of 1K, 4K = "1K"$/m,
    /^Seed +none/m,
    /^Files +images\[\]\.url$/m,
    /^Price +at most 0\.2 USD a call: 0\.05 per image × 4 \(num_images\)$/m,
    /^ +its example: 0\.05 USD/m,
    /generate\/acme\/painter\/v1 \\$/m,
    /-d '\{"prompt": "It'\\''s a fair\\u009b"\}'$/m,
    /^written: .*acme__painter__v1\.json$/m
  ]) t.match(stdout, part)
  t.match(file(), { endpoint_id: DOCUMENT_ID, added: /^\d{4}-\d\d-\d\d$/, cache_version: 1, price: { usd: 0.05, per: 'image' }, confirmed: true })
  t.same(file()['document'], falDocument(input))
  t.same(names(), [NAME], 'nothing else is left')
  t.same(asked, [`/documents ${DOCUMENT_ID} -`], 'no key was shown, and no price asked for')
  t.match(await runHere(['check'], { MODELS_DIR: dir }), { code: 0, stdout: /^a stop takes [^\n]*\nthe configuration is sound\n$/ })
})

t.test('a document is also taken from a file and from any address', async t => {
  const { run, dir, documents, env, file } = await desk(t, { status: 404 })
  const path = join(dir, 'mine.txt')
  writeFileSync(path, document)
  t.match(await run(['add', DOCUMENT_ID, ...priced, '--from', path]), { code: 0 })
  documents.set('x', { status: 302, headers: { location: '/documents?endpoint_id=y' } }).set('y', document)
  t.match(await run(['add', DOCUMENT_ID, ...priced, '--replace', '--from', `${env['FAL_CATALOGUE_URL']}?endpoint_id=x`]), { code: 0 }, 'over a redirect')
  t.same(file()['document'], falDocument(input))
  t.match(await run(['add', DOCUMENT_ID, ...priced, '--replace', '--from', join(dir, 'nowhere')]), { code: 1, stderr: 'falgate: --from: the file cannot be read (ENOENT).\n' })
})

const deep = `{"paths":${'['.repeat(70)}${']'.repeat(70)}}`

const bad: readonly (readonly [title: string, played: Played, sentence: RegExp])[] = [
  ['unknown', { status: 404 }, /knows no endpoint with this id \(404\)/],
  ['null', 'null', /is `null`/],
  ['HTML', '<!doctype html><title>fal</title>', /HTML or XML/],
  ['empty', '', /is empty/],
  ['not JSON', '{"openapi": SECRET', /is not JSON/],
  ['an error', '{"error":{"code":"expansion_failed","message":"SECRET"}}', /answered an error .*"expansion_failed"/],
  ['another endpoint\'s', falDocumentText(plainInput, plainOutput, { endpointId: 'acme/other' }), /is for "acme\/other", not for "acme\/painter\/v1"/],
  ['one with a reference that leads nowhere', falDocumentText(plainInput, plainOutput, { body: { $ref: '#/components/schemas/Gone' } }), /refers to "#\/components\/schemas\/Gone", which is not in the document/],
  ['one without an input', falDocumentText(plainInput, plainOutput, { hasNoInput: true }), /has no input/],
  ['one that cannot be checked', falDocumentText({ ...plainInput, properties: { prompt: { type: 'string', pattern: '(?=a)b' } } }), /cannot be checked in bounded time/],
  ['too large', `{"a":"${'x'.repeat(1_048_577)}"}`, /larger than 1 MiB/],
  ['too deep', deep, /nests deeper than 64 levels/],
  ['refused', { status: 403 }, /answered 403/],
  ['an outage', { status: 503, body: 'SECRET' }, /answered 503: something is wrong there/],
  ['a redirect without an end', { status: 302, headers: { location: `/documents?endpoint_id=${DOCUMENT_ID}` } }, /leads on to an address that is not followed/],
  ['a redirect elsewhere', { status: 302, headers: { location: 'file:///etc/passwd' } }, /leads on to an address that is not followed/]
]

for (const [title, played, sentence] of bad) {
  t.test(`a document is refused in a sentence, and nothing is written: ${title}`, async t => {
    const { run, names } = await desk(t, played)
    const { code, stdout, stderr } = await run(['add', DOCUMENT_ID, ...priced])
    t.same({ code, stdout }, { code: 1, stdout: '' })
    t.match(stderr, sentence)
    t.match(stderr, /^falgate: .*\.\n$/, 'one line')
    t.notMatch(stderr, 'SECRET')
    t.same(names(), [])
  })
}

t.test('a catalogue that cannot be reached, breaks off or is none, is told by its host and the reason', async t => {
  const add = async (url: string): Promise<string> => (await runHere(['model', 'add', DOCUMENT_ID, ...priced], { MODELS_DIR: '/nowhere', FAL_CATALOGUE_URL: url })).stderr
  /** A server that answers these bytes. */
  const answering = async (bytes: string | Buffer): Promise<string> => {
    const server = createServer(socket => {
      socket.on('error', () => {})
      socket.once('data', () => { socket.end(bytes) })
    })
    t.teardown(() => { server.close() })
    return `127.0.0.1:${await listen(server)}`
  }
  t.equal(await add('http://127.0.0.1:1/x'), 'falgate: 127.0.0.1:1 cannot be reached (ECONNREFUSED).\n')
  t.match(await add('http://nobody.invalid/x'), /^falgate: The name nobody\.invalid cannot be resolved \(E\w+\)\.\n$/)
  const other = await answering('SSH-2.0-nothing\r\n')
  t.equal(await add(`http://${other}/x`), `falgate: ${other} does not speak HTTP.\n`)
  t.match(await add(`https://${other}/x`), /^falgate: 127\.0\.0\.1:\d+ (does not speak TLS|cannot be reached).*\n$/)
  t.match(await add(`http://${await answering('HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nabc')}/x`), /broke off its answer/)
  t.match(await add(`http://${await answering(Buffer.concat([Buffer.from('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n'), Buffer.from([0xff, 0xfe])]))}/x`), /is no text in UTF-8/)
})

t.test('without a price nothing is written, and what the model is was shown', async t => {
  const { run, names, asked, prices } = await desk(t)
  prices.set(DOCUMENT_ID, { unit_price: 0.05, unit: 'images' })
  const { code, stdout, stderr } = await run(['add', DOCUMENT_ID])
  t.match({ code, stderr }, { code: 1, stderr: /^falgate: no price is known, and without FAL_KEY .*--max-usd.*\n$/ })
  t.match(stdout, /^Input$/m)
  t.match(await run(['add', DOCUMENT_ID], { FAL_KEY: 'a:b', FAL_API_URL: '' }), { code: 1, stderr: /unless FAL_API_URL is set/ })
  t.notMatch(asked.join(), 'a:b', 'the key was shown to nobody')
  t.same(names(), [])
})

t.test('a price that fal names is a proposal: the model is closed until somebody says that it is right', async t => {
  const { run, file, asked, prices, dir } = await desk(t)
  prices.set(DOCUMENT_ID, { unit_price: 0.05, unit: 'images ' })
  const { code, stdout } = await run(['add', DOCUMENT_ID], { FAL_KEY: 'a:b' })
  t.equal(code, 0)
  t.match(stdout, /not confirmed, and no upper bound/)
  t.match(file(), { price: { usd: 0.05, per: 'image' }, confirmed: false })
  t.same(asked.slice(1), [`/v1/models/pricing ${DOCUMENT_ID} Key a:b`])
  t.match(await runHere(['check'], { MODELS_DIR: dir }), { code: 0, stdout: /^warning: acme\/painter\/v1 cannot be bought: its price was not confirmed/ })
  t.match(await run(['list']), { code: 0, stdout: /^acme\/painter\/v1 .*up to 0\.2 USD.*price not confirmed$/m })

  t.match(await run(['price', DOCUMENT_ID, '--accept-price']), { code: 0, stderr: '' })
  t.match(file(), { price: { usd: 0.05, per: 'image' }, confirmed: true })
  t.match(await runHere(['check'], { MODELS_DIR: dir }), { code: 0, stdout: /^a stop takes [^\n]*\nthe configuration is sound\n$/ })
})

t.test('accepted beforehand it is open at once; what cannot be counted is not proposed', async t => {
  const { run, file, prices, names } = await desk(t)
  prices.set(DOCUMENT_ID, { unit_price: 0.00017, unit: 'compute seconds' })
  t.match(await run(['add', DOCUMENT_ID, '--accept-price'], { FAL_KEY: 'a:b' }), { code: 1, stderr: /per "compute seconds", and how many of these/ })
  t.same(names(), [])
  prices.delete(DOCUMENT_ID)
  t.match(await run(['add', DOCUMENT_ID], { FAL_KEY: 'a:b' }), { code: 1, stderr: /fal names no price/ })
  prices.set(DOCUMENT_ID, { unit_price: 0.05, unit: 'images' })
  t.match(await run(['add', DOCUMENT_ID, '--accept-price'], { FAL_KEY: 'a:b' }), { code: 0 })
  t.match(file(), { confirmed: true })
})

t.test('a price is said in each of its ways, and one that does not fit the model is refused', async t => {
  const { run, file } = await desk(t)
  const rule = { usd: 0.08, per: 'image', times: { resolution: { '1K': 1, '4K': 2 } }, max_usd: 0.64 }
  await run(['add', DOCUMENT_ID, ...priced])
  for (const [options, price] of [
    [['--usd', '0.123456789012', '--per', 'call'], { usd: 0.123456789012, per: 'call' }],
    [['--max-usd', '0.5'], { max_usd: 0.5 }],
    [['--usd', '0.01', '--per', 'compute seconds', '--max-usd', '2'], { usd: 0.01, per: 'compute seconds', max_usd: 2 }],
    [['--price', JSON.stringify(rule)], rule],
    [['--free'], { usd: 0, per: 'call' }],
    [['--usd', '0', '--per', 'image', '--free'], { usd: 0, per: 'image' }]
  ] as const) {
    t.match(await run(['price', DOCUMENT_ID, ...options]), { code: 0, stderr: '' }, options.join(' '))
    t.same(file()['price'], price)
  }
  const before = file()
  t.match(await run(['price', DOCUMENT_ID, '--usd', '1', '--per', 'second']), { code: 1, stderr: /^falgate: the price does not fit the model:\nfalgate: \/max_usd: is needed, because no field of the model holds the seconds\n$/ })
  t.match(await run(['price', DOCUMENT_ID, '--price', '{"usd":1,"per":"call","times":{"resolutoin":{"4K":2}}}']), { code: 1, stderr: /did you mean "resolution"\?/ })
  t.same(file(), before)
})

t.test('a file is not overwritten by chance; taken again it keeps its price, unless that does not fit any more, and its cache version', async t => {
  const { run, file, documents } = await desk(t)
  await run(['add', DOCUMENT_ID, ...priced, '--cache-version', '7'])
  t.match(await run(['add', DOCUMENT_ID, '--usd', '9', '--per', 'call']), { code: 1, stdout: '', stderr: /is there already: --replace/ })
  documents.set(DOCUMENT_ID, falDocumentText({ ...input, properties: { ...input.properties, style: { type: 'string' } } }))
  t.match(await run(['add', DOCUMENT_ID, '--replace']), { code: 0, stdout: /^written again: /m })
  t.match(file(), { cache_version: 7, price: { usd: 0.05, per: 'image' }, confirmed: true, document: { components: { schemas: { PainterInput: { properties: { style: {} } } } } } })

  documents.set(DOCUMENT_ID, falDocumentText({ ...input, properties: { ...input.properties, num_images: { type: 'integer' } } }))
  t.match(await run(['add', DOCUMENT_ID, '--replace']), { code: 1, stderr: /does not fit the document as it is now; say another:\n.*num_images has no upper bound/ })
  t.match(await run(['add', DOCUMENT_ID, '--replace', '--max-usd', '1', '--cache-version', '8']), { code: 0 })
  t.match(file(), { cache_version: 8, price: { max_usd: 1 } })
})

t.test('a faulty file keeps a gateway from starting, and check and serve name every fault', async t => {
  const { dir } = await desk(t)
  writeFileSync(join(dir, NAME), '{')
  writeFileSync(join(dir, 'painter.json'), '{}')
  const faults = 'falgate: MODELS_DIR: acme__painter__v1.json: the file is not valid JSON: expected a name in double quotes or } at line 1, column 2\n' +
    'falgate: MODELS_DIR: painter.json: is not the name that the file of a model has; falgate model add writes files that have it\n'
  t.same(await runHere(['check'], { MODELS_DIR: dir }), { code: 1, stdout: '', stderr: faults })
  t.same(await runHere(['serve'], { MODELS_DIR: dir }), { code: 1, stdout: '', stderr: faults })
  t.same(await runHere(['sandbox'], { MODELS_DIR: dir }), { code: 1, stdout: '', stderr: faults })
  t.same(await runHere(['check'], { MODELS_DIR: dir, PORT: 'x' }), { code: 1, stdout: '', stderr: `falgate: PORT: expected a whole number from 0 to 65535\n${faults}` })
})

t.test('check tries what a gateway compiles when it needs it', async t => {
  const { dir } = await desk(t)
  const { name, text } = modelFile({ input: { ...plainInput, properties: { prompt: { type: 'string', pattern: '(?=a)b' } } } })
  writeFileSync(join(dir, name), text)
  t.match(await runHere(['check'], { MODELS_DIR: dir }), { code: 1, stderr: /^falgate: MODELS_DIR: acme__painter__v1\.json: \/document: .*cannot be checked in bounded time\.\n$/ })
})

t.test('a faulty file is told by show and price, and written again by add', async t => {
  const { run, dir, file } = await desk(t)
  writeFileSync(join(dir, NAME), '{')
  for (const args of [['show', DOCUMENT_ID], ['price', DOCUMENT_ID, '--free'], ['add', DOCUMENT_ID, '--replace'], ['list'], ['diff'], ['diff', DOCUMENT_ID]]) {
    t.match(await run(args), { code: 1, stdout: '', stderr: /acme__painter__v1\.json: the file is not valid JSON: expected .* at line 1, column 2\n/ }, args.join(' '))
  }
  t.match(await run(['add', DOCUMENT_ID, '--replace', ...priced]), { code: 0 })
  t.match(file(), { endpoint_id: DOCUMENT_ID })
})

t.test('show and list tell of what has a file and of what comes with falgate', async t => {
  const { run, dir } = await desk(t)
  await run(['add', DOCUMENT_ID, ...priced])
  t.match(await run(['show', DOCUMENT_ID]), { code: 0, stdout: /^Rule +\{"usd":0\.05,"per":"image"\}\nFile .*cache version 1$/m })
  t.match(await run(['show', 'fal-ai/imagen4/preview/ultra']), { code: 0, stdout: /Imagen 4 Ultra[^]*at most 0\.06 USD a call[^]*curl/ })
  t.match(await run(['show', 'acme/paintr/v1']), { code: 1, stdout: '', stderr: 'falgate: acme/paintr/v1 has no file in MODELS_DIR; did you mean acme/painter/v1?\n' })
  t.match(await run(['list'], { DEFAULT_MODEL: DOCUMENT_ID }), { code: 0, stdout: /^Model[^]*^fal-ai\/imagen4\/preview\/ultra .*comes with falgate$[^]*^acme\/painter\/v1 .*of \d{4}-\d\d-\d\d, default$/m })
  t.match(await runHere(['model', 'list']), { code: 0, stdout: /^fal-ai\/imagen4/m }, 'also without a folder')
  t.match(await runHere(['check'], { MODELS_DIR: dir, DEFAULT_MODEL: 'acme/gone' }), { code: 1, stderr: 'falgate: DEFAULT_MODEL: no model on offer has this endpoint id\n' })
})

t.test('diff names each difference, and its exit code tells whether there is one', async t => {
  const { run, documents } = await desk(t)
  t.match(await run(['diff']), { code: 0, stdout: 'no model has a file\n' })
  await run(['add', DOCUMENT_ID, ...priced])
  documents.set('acme/other', falDocumentText(plainInput, plainOutput, { endpointId: 'acme/other' }))
  await run(['add', 'acme/other', '--free'])
  t.match(await run(['diff']), { code: 0, stdout: 'acme/other: no difference\nacme/painter/v1: no difference\n' })
  documents.set(DOCUMENT_ID, falDocumentText({ ...input, properties: { prompt: { type: 'string', description: 'More' }, resolution: { enum: ['1K'], default: '1K' }, seed: { type: 'integer' } } }, plainOutput, { isDeprecated: true }))
  t.match(await run(['diff']), {
    code: 1,
    stderr: '',
    stdout: `acme/other: no difference
acme/painter/v1
  ~ deprecated: it is deprecated now
  ~ input prompt: text, up to 500 characters, required → text, required
  - input num_images: whole number, 1 to 4, default 1
  ~ input resolution: one of 1K, 4K, default "1K" → one of 1K, default "1K"
  + input seed: whole number
`
  })
  documents.set(DOCUMENT_ID, document + '\n')
  t.match(await run(['diff', DOCUMENT_ID]), { code: 0, stdout: /other parts of the document have changed/ })
  documents.delete(DOCUMENT_ID)
  t.match(await run(['diff']), { code: 1, stdout: 'acme/other: no difference\n', stderr: /^falgate: acme\/painter\/v1: .*knows no endpoint/ })
})

t.test('remove takes the file away, once', async t => {
  const { run, names } = await desk(t)
  await run(['add', DOCUMENT_ID, ...priced])
  t.match(await run(['remove', DOCUMENT_ID]), { code: 0, stdout: /^removed: / })
  t.same(names(), [])
  t.match(await run(['remove', DOCUMENT_ID]), { code: 1, stderr: 'falgate: acme/painter/v1 has no file in MODELS_DIR\n' })
  for (const work of ['remove', 'diff', 'add']) t.match(await run([work, 'fal-ai/imagen4/preview/ultra']), { code: 1, stderr: /comes with falgate/ }, work)
  t.match(await runHere(['model', 'remove', DOCUMENT_ID]), { code: 1, stderr: 'falgate: MODELS_DIR: not set; it is the folder in which the files of models are\n' })
})

t.test('remove tells where the tenants file and DEFAULT_MODEL still need the model, and takes it away all the same', async t => {
  const { run, names, dir } = await desk(t)
  const other = modelFile({ endpointId: 'acme/other' })
  const file = join(t.testdir(), 'tenants.json')
  const studio = tenant('studio', { models: ['fal-ai/*', DOCUMENT_ID], allow: { resolution: ['4K'] } })
  writeFileSync(file, JSON.stringify({ prices: { [DOCUMENT_ID]: 0.1 }, tenants: [studio, tenant('press', { models: ['acme/*'] })] }))
  const removed = async (env: Readonly<Record<string, string>>): Promise<readonly string[]> => {
    await run(['add', DOCUMENT_ID, ...priced])
    const { code, stdout, stderr } = await run(['remove', DOCUMENT_ID], env)
    t.same({ code, stderr, has: names().includes(NAME) }, { code: 0, stderr: '', has: false })
    return stdout.trimEnd().split('\n').slice(1)
  }
  const last = 'warning: until that is mended no gateway starts, and those that run keep what they had'
  const named = [
    'warning: TENANTS_FILE: /prices/acme~1painter~1v1: is not a model on offer',
    'warning: TENANTS_FILE: /tenants/0/models/1: is not a model on offer',
    'warning: TENANTS_FILE: /tenants/0/allow/resolution/0: the parameter cannot have this value'
  ]
  t.same(await removed({ TENANTS_FILE: file }), [...named, last])
  t.same(await removed({ TENANTS_FILE: file, DEFAULT_MODEL: DOCUMENT_ID, FAL_KEY: 'a:b' }), ['warning: DEFAULT_MODEL: no model on offer has this endpoint id', ...named, last])
  t.match(await runHere(['check'], { MODELS_DIR: dir, TENANTS_FILE: file }), { code: 1, stderr: named.map(line => line.replace('warning', 'falgate') + '\n').join('') }, 'check says the same')

  writeFileSync(file, JSON.stringify({ tenants: [tenant('studio', { models: ['acme/*'] })] }))
  t.same(await removed({ TENANTS_FILE: file }), [])
  writeFileSync(file, JSON.stringify({ tenants: [tenant('studio', { models: ['acme/*', 'acme/gone'] })] }))
  t.same(await removed({ TENANTS_FILE: file }), [], 'what was wrong before is not its doing')
  writeFileSync(join(dir, other.name), '{')
  t.same(await removed({ TENANTS_FILE: file }), ['not looked at: whether TENANTS_FILE or DEFAULT_MODEL name it, because files of other models are faulty'])
})

t.test('check tells the faults of models and those of tenants in one run, but not what follows from missing models', async t => {
  const dir = t.testdir({ models: { [NAME]: '{' } })
  const file = join(dir, 'tenants.json')
  const check = async (tenants: unknown): Promise<readonly string[]> => {
    writeFileSync(file, typeof tenants === 'string' ? tenants : JSON.stringify(tenants))
    const { code, stderr } = await runHere(['check'], { MODELS_DIR: join(dir, 'models'), TENANTS_FILE: file })
    t.equal(code, 1)
    return stderr.trimEnd().split('\n').slice(1)
  }
  t.same(await check({
    prices: { [DOCUMENT_ID]: 0, 'acme/priced': { usd: 0.1 } },
    tenants: [tenant('studio', { models: [DOCUMENT_ID], allow: { resolution: ['4K'] } }), tenant('studio')]
  }), [
    'falgate: TENANTS_FILE: /prices/acme~1painter~1v1: expected dollars for one call, more than 0 and at most 1000, or a price rule',
    'falgate: TENANTS_FILE: /prices/acme~1priced/per: is missing: usd is the price of one call, image, megapixel, second, …',
    'falgate: TENANTS_FILE: /tenants/1/id: another tenant has the same id',
    'falgate: TENANTS_FILE: /tenants/1/keys/0/id: another key has the same id'
  ])
  t.match(await check('{'), [/^falgate: TENANTS_FILE: the file is not valid JSON/])
  t.same(await check({ tenants: [tenant('studio', { models: [DOCUMENT_ID], allow: { resolution: ['4K'] } })] }), [])
})

t.test('what is not understood ends with 2 and one line', async t => {
  const cases: readonly (readonly [args: readonly string[], message: RegExp])[] = [
    [[], /^model needs what is to be done: add, price, list, show, diff, remove/],
    [['frob'], /^model needs what is to be done/],
    [['toString'], /^model needs what is to be done/],
    [['add'], /^model add needs an endpoint id/],
    [['add', 'one'], /^an endpoint id has two to seven parts/],
    [['add', '../x'], /^an endpoint id has/],
    [['add', 'a/b', 'c/d'], /^model add takes one endpoint id at a time/],
    [['list', 'a/b'], /^model list takes no argument/],
    [['show', 'a/b', '--usd', '1'], /^model show has no option --usd/],
    [['diff', '--from', 'x'], /^model diff needs an endpoint id with --from/],
    [['price', 'a/b'], /^model price needs one of/],
    [['add', 'a/b', '--usd', '1'], /^--usd is the price of one unit, which --per names/],
    [['add', 'a/b', '--per', 'call'], /^--per says what --usd is the price of/],
    [['add', 'a/b', '--usd', '1', '--per', 'call', '--accept-price'], /^a price is said in one way/],
    [['add', 'a/b', '--price', '{}', '--max-usd', '1'], /^a price is said in one way/],
    [['add', 'a/b', '--accept-price', '--free'], /^--accept-price takes the price that is proposed/],
    [['add', 'a/b', '--usd', 'five', '--per', 'call'], /^--usd: expected dollars/],
    [['add', 'a/b', '--usd', '1', '--per', 'calls'], /^--per: how many "calls" .* --max-usd is needed; did you mean "call"\?/],
    [['add', 'a/b', '--usd', '0', '--per', 'call'], /^a price of 0 has to be meant: add --free/],
    [['add', 'a/b', '--max-usd', '0'], /^a price of 0 has to be meant/],
    [['add', 'a/b', '--usd', '1', '--per', 'call', '--free'], /^--free is said of a price of 0 only/],
    [['add', 'a/b', '--price', '{'], /^--price: expected an object|^--price: the price rule/],
    [['add', 'a/b', '--price', '{"usd":1}'], /^--price: \/per: is missing/],
    [['add', 'a/b', '--cache-version', '0'], /^--cache-version needs a whole number/]
  ]
  for (const [args, message] of cases) {
    const { code, stdout, stderr } = await runHere(['model', ...args], { MODELS_DIR: '/nowhere' })
    t.same({ code, stdout }, { code: 2, stdout: '' }, args.join(' '))
    t.match(stderr.replace(/^falgate: /, ''), message)
    t.equal(stderr.split('\n').length, 2)
  }
})

t.test('the commands and the rule of docs/models.md work, one after another', async t => {
  const { run, documents } = await desk(t)
  const id = 'fal-ai/nano-banana-2'
  documents.set(id, falDocumentText({
    ...input,
    properties: { ...input.properties, resolution: { enum: ['0.5K', '1K', '2K', '4K'], default: '1K' }, enable_web_search: { type: 'boolean', default: false } }
  }, plainOutput, { endpointId: id }))
  const [commands, rule] = codeBlocksOf(pageAt('docs/models.md'))
  const lines = commands?.code.trim().split('\n').filter(line => line.startsWith('falgate ')) ?? []
  t.ok(lines.length > 5, 'they were found')
  for (const line of lines) {
    t.match(await run(line.split(' ').slice(2)), { code: 0, stderr: '' }, line)
    if (line.includes(' add ')) t.match(await run(['price', id, '--price', rule?.code ?? '']), { code: 0, stdout: /at most 0\.655 USD a call/ })
  }
})
