// OpenAI's door for pictures made of pictures: files in a form and addresses in JSON, in the fields that the model has for them.

import { once } from 'node:events'
import { connect } from 'node:net'
import t, { type Test } from 'tap'
import { createModels } from '../../src/models/models.ts'
import { isObject } from '../../src/schema.ts'
import { EDITS, editWithForm, type Part } from '../support/edit-form.ts'
import { key, parseObject, startGateway, STUDIO_KEY, tenant, type Gateway, type GatewayOptions, type Reply } from '../support/gateway.ts'
import { anySize, count, modelWith } from '../support/image-models.ts'
import { dataOf, pixel } from '../support/pixel.ts'

const text = { type: 'string' }
const fields = {
  image_size: anySize,
  num_images: count(4),
  seed: { type: 'integer' },
  guidance_scale: { type: 'number', minimum: 0, maximum: 20 },
  sharpen: { type: 'boolean' },
  loras: { type: 'array', items: { type: 'object', properties: { path: text, scale: { type: 'number' } } } },
  tags: { type: 'array', items: text },
  note: text
}
const painter = modelWith({ seed: { type: 'integer' } }, 'acme/painter')
const painterEdit = modelWith({ ...fields, image_urls: { type: 'array', items: text }, mask_url: text }, 'acme/painter/edit')
const single = modelWith({ image_url: text, strength: { type: 'number' } }, 'acme/single')
const models = createModels([painter, painterEdit, single])

async function start (t: Test, options: GatewayOptions = {}): Promise<Gateway> {
  return await startGateway(t, { models, tenants: { aliases: { 'gpt-image-1': 'acme/painter' }, tenants: [tenant('studio'), tenant('press', { models: ['acme/painter'] })] }, ...options })
}

async function edit (gateway: Gateway, body: readonly Part[] | Readonly<Record<string, unknown>>, headers: Readonly<Record<string, string>> = {}): Promise<Reply> {
  return Array.isArray(body) ? await editWithForm(gateway, body, { headers }) : await gateway.generate(body, { path: EDITS, headers })
}

/** What the model was asked with. */
async function inputOf (gateway: Gateway, reply: Reply): Promise<unknown> {
  return (await gateway.get(`/generations/${reply.headers.get('falgate-generation')}`)).json()['input']
}

t.test('a picture in a form reaches the model whole, in its own field, and the answer is OpenAI\'s', async t => {
  const gateway = await start(t)
  const reply = await edit(gateway, [['prompt', 'with a hat'], ['model', 'acme/single'], ['image', pixel()]])
  t.equal(reply.status, 200, reply.text)
  t.match(reply.json(), { created: Number, data: [{ url: /^http/ }] })
  t.same(await inputOf(gateway, reply), { prompt: 'with a hat', image_url: dataOf(pixel()) })
  t.equal(reply.headers.get('falgate-mapped'), 'image="image_url"')
  t.equal(gateway.sandbox.bill.billedUnits, 1)
})

t.test('many pictures and a mask stand in their order, whatever type and name they were sent with', async t => {
  const gateway = await start(t)
  const reply = await edit(gateway, [['image[]', pixel('1')], ['prompt', 'joined'], ['mask', pixel('m')], ['image[]', pixel('2')], ['model', 'acme/painter/edit']])
  t.equal(reply.status, 200, reply.text)
  t.same(await inputOf(gateway, reply), { prompt: 'joined', image_urls: [dataOf(pixel('1')), dataOf(pixel('2'))], mask_url: dataOf(pixel('m')) })
})

t.test('texts of a form are what the model takes: numbers with all their digits, flags, lists and objects', async t => {
  const gateway = await start(t)
  const reply = await edit(gateway, [
    ['prompt', '7'], ['model', 'acme/painter/edit'], ['image', pixel()], ['seed', '196619188014358660'], ['guidance_scale', '3.5'], ['sharpen', 'true'], ['n', '2'], ['note', 'false'],
    ['image_size[width]', '512'], ['image_size[height]', '640'], ['tags[]', '1'], ['tags[]', 'b'],
    ['loras[][path]', 'a'], ['loras[][scale]', '1.0'], ['loras[][path]', 'b'], ['loras[][scale]', '0.5']
  ])
  t.equal(reply.status, 200, reply.text)
  const text = (await gateway.get(`/generations/${reply.headers.get('falgate-generation')}`)).text
  t.match(text, /"seed":196619188014358660/)
  t.match(parseObject(text)['input'], {
    prompt: '7', guidance_scale: 3.5, sharpen: true, num_images: 2, note: 'false', image_size: { width: 512, height: 640 }, tags: ['1', 'b'], loras: [{ path: 'a', scale: 1 }, { path: 'b', scale: 0.5 }]
  })
  const again = await edit(gateway, { prompt: '7', model: 'acme/painter/edit', images: [{ image_url: dataOf(pixel()) }], seed: 7 })
  t.equal(again.status, 200, again.text)
})

t.test('a list of objects is the same, whether a library sends it object by object or member by member; where that is not clear, nothing is guessed', async t => {
  const gateway = await start(t)
  const asked: readonly Part[] = [['prompt', 'p'], ['model', 'acme/painter/edit'], ['image', pixel()], ['seed', '7']]
  const first = await edit(gateway, [...asked, ['loras[][path]', 'a'], ['loras[][path]', 'b'], ['loras[][scale]', '1.0'], ['loras[][scale]', '2']])
  t.match(await inputOf(gateway, first), { loras: [{ path: 'a', scale: 1 }, { path: 'b', scale: 2 }] })
  const same = await edit(gateway, [...asked, ['loras[][scale]', '1.0'], ['loras[][path]', 'a'], ['loras[][scale]', '2'], ['loras[][path]', 'b']])
  t.match(same.headers.get('cache-status'), /^falgate; hit/)
  for (const [param, ...parts] of [
    ['loras', ['loras[][path]', 'a'], ['loras[][path]', 'b'], ['loras[][scale]', '2']],
    ['loras', ['loras[][path]', 'a'], ['loras[][words][]', 'b']],
    ['tags', ['tags[][]', 'a']],
    ['note', ['note', 'a'], ['note[more]', 'b']],
    ['size', ['size[width]', '512'], ['size', '512x512']]
  ] satisfies ReadonlyArray<readonly [string, ...Part[]]>) {
    const reply = await edit(gateway, [...asked, ...parts])
    t.equal(reply.status, 400, reply.text)
    t.match(reply.json(), { error: { param, message: /put together in more than one way, or in none/ } })
  }
  t.equal(gateway.sandbox.bill.billedUnits, 1)
})

t.test('an empty name of a model, as programs send it whose setting is empty, names none; two names are no name', async t => {
  const gateway = await start(t)
  const reply = await edit(gateway, [['prompt', 'p'], ['model', ''], ['image', pixel()]])
  t.equal(reply.status, 200, reply.text)
  t.match(reply.headers.get('falgate-mapped'), /^model="acme\/painter\/edit"/, 'the default one')
  const parts: ReadonlyArray<readonly Part[]> = [[['model', 'acme/single'], ['model', 'acme/painter']], [['model[]', 'acme/single']], [['model[id]', 'acme/single']]]
  for (const named of parts) t.match((await edit(gateway, [['prompt', 'p'], ...named, ['image', pixel()]])).json(), { error: { param: 'model', message: /model must be a text/ } })
})

t.test('JSON brings addresses, as OpenAI writes them and as a list of texts, and the same picture is bought once', async t => {
  const gateway = await start(t)
  const asked = { prompt: 'p', model: 'acme/painter/edit', seed: 7 }
  const first = await edit(gateway, { ...asked, images: [{ image_url: dataOf(pixel()) }] })
  t.equal(first.status, 200, first.text)
  for (const body of [{ ...asked, images: [dataOf(pixel())] }, { ...asked, image: dataOf(pixel()) }, { ...asked, image_urls: [dataOf(pixel())] }]) {
    t.match((await edit(gateway, body)).headers.get('cache-status'), /^falgate; hit/)
  }
  t.match((await edit(gateway, [['prompt', 'p'], ['model', 'acme/painter/edit'], ['seed', '7'], ['image', pixel()]])).headers.get('cache-status'), /^falgate; hit/)
  t.match((await gateway.generate({ prompt: 'p', seed: 7, image_urls: [dataOf(pixel())] }, { path: '/generate/acme/painter/edit' })).headers.get('cache-status'), /^falgate; hit/)
  const other = await edit(gateway, { ...asked, images: ['https://pictures.example/a.png'], mask: { image_url: 'https://pictures.example/m.png' } })
  t.same(await inputOf(gateway, other), { prompt: 'p', seed: 7, image_urls: ['https://pictures.example/a.png'], mask_url: 'https://pictures.example/m.png' })
  t.equal(gateway.sandbox.bill.billedUnits, 2)
})

t.test('what the same bytes mean at one door is nothing at the other', async t => {
  const gateway = await start(t)
  const body = JSON.stringify({ prompt: 'p', seed: 7, model: 'acme/painter/edit', image_urls: ['https://pictures.example/a.png'] })
  for (let round = 0; round < 2; round++) {
    t.equal((await gateway.generate(body, { path: EDITS })).status, 200)
    t.equal((await gateway.generate(body, { path: '/v1/images/generations' })).status, 200)
  }
  const images = JSON.stringify({ prompt: 'p', seed: 7, model: 'acme/painter/edit', images: ['https://pictures.example/a.png'] })
  for (let round = 0; round < 2; round++) {
    t.equal((await gateway.generate(images, { path: EDITS })).status, 200)
    t.equal((await gateway.generate(images, { path: '/v1/images/generations' })).status, 400)
  }
  t.equal(gateway.sandbox.bill.billedUnits, 1)
})

t.test('a name that makes new pictures means the endpoint beside it that changes some, and that is told', async t => {
  const gateway = await start(t)
  for (const model of ['gpt-image-1', 'acme/painter']) {
    const reply = await edit(gateway, [['prompt', 'p'], ['model', model], ['image', pixel()]])
    t.equal(reply.status, 200, reply.text)
    t.equal(reply.headers.get('falgate-mapped'), 'model="acme/painter/edit", image="image_urls"')
    t.ok(isObject(reply.json()) && ('b64_json' in dataMemberOf(reply)) === (model === 'gpt-image-1'))
  }
  const refused = await edit(gateway, [['prompt', 'p'], ['model', 'acme/painter'], ['image', pixel()]], { authorization: `Bearer ${key('press')}` })
  t.equal(refused.status, 403)
})

function dataMemberOf (reply: Reply): Readonly<Record<string, unknown>> {
  const { data } = reply.json()
  const [first]: readonly unknown[] = Array.isArray(data) ? data : []
  return isObject(first) ? first : {}
}

t.test('a stream tells of the edit under its own name', async t => {
  const gateway = await start(t)
  const reply = await edit(gateway, [['prompt', 'p'], ['model', 'acme/single'], ['image', pixel()], ['stream', 'true'], ['partial_images', '2']])
  t.match(reply.headers.get('content-type'), /^text\/event-stream/)
  t.match(reply.text, /event: image_edit\.completed\ndata: \{"type":"image_edit\.completed","created_at":\d{10},"b64_json":"/)
})

t.test('what cannot be meant is refused with the field that is meant, and costs nothing', async t => {
  const gateway = await start(t)
  const picture: Part = ['image', pixel()]
  const prompt: Part = ['prompt', 'p']
  const single: Part = ['model', 'acme/single']
  const rows: ReadonlyArray<readonly [title: string, body: readonly Part[] | Readonly<Record<string, unknown>>, status: number, param: string | null, message: RegExp]> = [
    ['no picture', [prompt, single], 400, 'image', /image is missing/],
    ['an empty form', [], 400, 'image', /image is missing/],
    ['two pictures for one', [prompt, single, ['image[]', pixel('1')], ['image[]', pixel('2')]], 400, 'image', /must be one picture/],
    ['a mask for none', [prompt, single, picture, ['mask', pixel()]], 400, 'mask', /takes none/],
    ['two masks', [prompt, picture, ['mask', pixel()], ['mask', pixel()]], 400, 'mask', /must be one picture/],
    ['a mask as a text and as a file', [prompt, picture, ['mask', 'https://pictures.example/m.png'], ['mask', pixel()]], 400, 'mask', /must be one picture/],
    ['no picture inside', [prompt, single, ['image', new Uint8Array(Buffer.from('<svg xmlns="http://www.w3.org/2000/svg"/>'))]], 400, 'image', /must be a picture/],
    ['nothing inside', [prompt, single, ['image', new Uint8Array()]], 400, 'image', /empty file/],
    ['a file of another name', [prompt, single, picture, ['video', pixel()]], 400, 'video', /pictures are sent as image/],
    ['pictures as bytes of a list', [prompt, single, ['image[0]', '137'], ['image[1]', '80']], 400, 'image', /must be a picture/],
    ['hundreds of texts', [prompt, single, ...Array.from({ length: 300 }, (_, n): Part => [`image[${n}]`, '0'])], 400, null, /more than 200/],
    ['eighteen files', [prompt, ...Array.from({ length: 18 }, (): Part => ['image[]', pixel()])], 400, null, /more than 17 files/],
    ['a name of no field', [prompt, single, picture, ['constructor', 'x']], 400, null, /name that no field has/],
    ['a picture beside the model\'s own field', [prompt, single, picture, ['image_url', 'https://pictures.example/a.png']], 400, 'image', /stands beside image_url/],
    ['a file at OpenAI', { prompt: 'p', model: 'acme/single', images: [{ file_id: 'file-1' }] }, 400, 'images.0.file_id', /file at OpenAI/],
    ['an address that is none', { prompt: 'p', model: 'acme/single', image: 'file:///etc/passwd' }, 400, 'image', /must be a picture/],
    ['a number for a picture', { prompt: 'p', model: 'acme/single', images: [7] }, 400, 'images.0', /must be a picture/],
    ['no prompt', [single, picture], 400, 'prompt', /prompt/],
    ['a field of no model', [prompt, single, picture, ['colour', 'red']], 400, 'colour', /colour/],
    ['a number that is none', [prompt, single, picture, ['strength', 'very']], 400, 'strength', /strength/],
    ['n that is none', [prompt, single, picture, ['n', 'two']], 400, 'n', /whole number/],
    ['a model that is not there', [prompt, picture, ['model', 'acme/nothing']], 404, 'model', /./],
    ['texts above a quarter of a megabyte', [prompt, single, picture, ['note', 'x'.repeat(140_000)], ['more', 'x'.repeat(140_000)]], 413, null, /texts of a form may be 256 KiB together/],
    ['a text that is no UTF-8', [prompt, single, picture, ['note', '\ufffd']], 400, 'note', /must be UTF-8/],
    ['a name of 201 bytes', [prompt, single, picture, ['x'.repeat(201), 'x']], 400, null, /name of more than 200 bytes/],
    ['thousands of pictures that are none', { prompt: 'p', model: 'acme/single', images: Array.from({ length: 5000 }, () => 7) }, 400, 'images.0', /^(?:(?!images\.20 ).)*$/],
    ['thousands of masks', { prompt: 'p', model: 'acme/painter/edit', mask: Array.from({ length: 5000 }, () => 7) }, 400, 'mask.0', /^(?:(?!mask\.20 ).)*$/],
    ['thousands of fields', { ...Object.fromEntries(Array.from({ length: 1000 }, (_, n) => [`f${n}`, 1])), prompt: 'p' }, 400, null, /more than 1000 fields/],
    ['above four megabytes', [prompt, single, ['image', new Uint8Array(5 * 1024 * 1024).fill(1)]], 413, null, /files of one request may be 4 MiB together/],
    ['above four megabytes together', [prompt, ['image[]', big(3)], ['image[]', big(3)]], 413, null, /files of one request may be 4 MiB together/]
  ]
  for (const [title, body, status, param, message] of rows) {
    const reply = await edit(gateway, body)
    t.equal(reply.status, status, `${title}: ${reply.text}`)
    const error = reply.json()['error']
    t.match(error, { message, param }, title)
    t.equal(reply.headers.get('x-should-retry'), 'false', title)
  }
  t.equal(gateway.sandbox.bill.billedUnits, 0)
})

/** A picture of so many MiB. */
function big (megabytes: number): Uint8Array<ArrayBuffer> {
  return pixel('x'.repeat(megabytes * 1024 * 1024))
}

t.test('a form is read for those who may call, and one that is cut off or is none is told so', async t => {
  const gateway = await start(t)
  t.equal((await edit(gateway, [['prompt', 'p'], ['image', pixel()]], { authorization: 'Bearer nobody' })).status, 401)
  for (const [type, body] of [['multipart/form-data', '--x\r\n'], ['multipart/form-data; boundary=x', 'hello'], ['multipart/form-data; boundary=x', '--x\r\ncontent-disposition: form-data; name="image"; filename="a"\r\n\r\nabc']]) {
    const reply = await gateway.generate(body, { path: EDITS, headers: { 'content-type': String(type) } })
    t.equal(reply.status, 400, reply.text)
    t.match(reply.json(), { error: { type: 'invalid_request_error', code: 'bad_request' } })
  }
  t.match((await gateway.generate('prompt=p', { path: EDITS, headers: { 'content-type': 'application/x-www-form-urlencoded' } })).json(), { error: { code: 'not_json', message: /multipart\/form-data/ } })
  t.equal((await gateway.generate('{}', { path: '/v1/images/generations', headers: { 'content-type': 'multipart/form-data; boundary=x' } })).status, 415, 'elsewhere no form is read')
})

t.test('a part is refused that has no name, that is JSON, whose digits nobody would see, or that would have to be unpacked', async t => {
  const gateway = await start(t)
  for (const [head, value, message] of [
    ['content-disposition: form-data', 'x', /part without a name/],
    ['content-disposition: form-data; name=""', 'x', /part without a name/],
    ['content-disposition: form-data; filename="a.png"', 'x', /part without a name/],
    ['content-disposition: form-data; name="note"\r\ncontent-transfer-encoding: base64', 'eA==', /part that would have to be unpacked/],
    ['content-disposition: form-data; name="note"\r\ncontent-transfer-encoding: Quoted-Printable', 'a=3Db', /part that would have to be unpacked/],
    ['content-disposition: form-data; name="seed"\r\ncontent-type: application/json', '196619188014358661', /part with JSON in it/],
    ['content-disposition: form-data; name="note"\r\ncontent-type: application/json', '"x"', /part with JSON in it/],
    ['content-disposition: form-data; name="note"\r\ncontent-type: application/json; charset=utf-8', '{', /part with JSON in it/]
  ] satisfies ReadonlyArray<readonly [string, string, RegExp]>) {
    const reply = await gateway.generate(`--x\r\n${head}\r\n\r\n${value}\r\n--x--\r\n`, { path: EDITS, headers: { 'content-type': 'multipart/form-data; boundary=x' } })
    t.equal(reply.status, 400, `${head}: ${reply.text}`)
    t.match(reply.json(), { error: { code: 'bad_request', message } })
  }
  const packed = await gateway.generate('--x--\r\n', { path: EDITS, headers: { 'content-type': 'multipart/form-data; boundary=x', 'content-encoding': 'gzip' } })
  t.match(packed.json(), { error: { code: 'bad_request', message: /without Content-Encoding/ } })
  t.equal(gateway.sandbox.bill.billedUnits, 0)
})

t.test('a connection that breaks off inside a file leaves nothing behind, and the next request is served', async t => {
  const gateway = await start(t)
  const { hostname, port } = new URL(gateway.url)
  const socket = connect(Number(port), hostname)
  await once(socket, 'connect')
  socket.write(`POST ${EDITS} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${STUDIO_KEY}\r\ncontent-type: multipart/form-data; boundary=x\r\ncontent-length: 100000\r\n\r\n--x\r\ncontent-disposition: form-data; name="image"; filename="a.png"\r\n\r\n`)
  socket.write(pixel(), () => { socket.destroy() })
  await once(socket, 'close')
  t.equal((await edit(gateway, [['prompt', 'p'], ['model', 'acme/single'], ['image', pixel()]])).status, 200)
  t.equal(gateway.sandbox.bill.billedUnits, 1)
})
