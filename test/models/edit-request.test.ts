// Pictures that are to be changed stand where the model takes them, by its own schema; what it has no place for is a fault that names the field.

import t from 'tap'
import { pictureFieldsOf, placePictures, readEdit } from '../../src/models/edit-request.ts'
import { imagen4Ultra } from '../../src/models/imagen4-ultra.ts'
import type { Model } from '../../src/models/model.ts'
import { modelWith } from '../support/image-models.ts'

type Json = Readonly<Record<string, unknown>>

const text = { type: 'string' }
const texts = { type: 'array', items: text }
const orNull = (schema: Json): Json => ({ anyOf: [schema, { type: 'null' }] })

t.test('the fields for pictures are told by the model\'s schema', t => {
  const rows: ReadonlyArray<readonly [title: string, model: Model, fields: Json | null]> = [
    ['a list', modelWith({ image_urls: texts }), { pictures: 'image_urls', isList: true, mask: null }],
    ['one picture and a mask that may be null', modelWith({ image_url: text, mask_url: orNull(text) }), { pictures: 'image_url', isList: false, mask: 'mask_url' }],
    ['a list before one', modelWith({ image_url: orNull(text), image_urls: texts }), { pictures: 'image_urls', isList: true, mask: null }],
    ['the only one, whatever it is called', modelWith({ input_image_url: text, mask_image_url: text }), { pictures: 'input_image_url', isList: false, mask: 'mask_image_url' }],
    ['two of other names: which one is meant is not guessed', modelWith({ left_image_url: text, right_image_url: text }), null],
    ['videos are no pictures', modelWith({ video_url: text }), null],
    ['pictures inside objects are not reached', modelWith({ images: { type: 'array', items: { type: 'object', properties: { url: text }, required: ['url'] } } }), null],
    ['none', modelWith({}), null],
    ['none of the built-in one', imagen4Ultra, null]
  ]
  for (const [title, model, fields] of rows) t.same(pictureFieldsOf(model), fields, title)
  t.end()
})

t.test('OpenAI\'s words are read, and a model\'s own field of the same name stays what it is', t => {
  const own = modelWith({ image: text, masks: texts })
  t.same(readEdit({ prompt: 'p', image: 'https://pictures.example/a.png' }, own), { ok: true, asked: { pictures: [], mask: null, rest: { prompt: 'p', image: 'https://pictures.example/a.png' } } })
  const other = modelWith({ image_urls: texts })
  t.same(readEdit({ prompt: 'p', images: [{ image_url: 'https://pictures.example/a.png' }, 'data:image/png;base64,AA=='], image: null, mask: { image_url: 'https://pictures.example/m.png' } }, other),
    { ok: true, asked: { pictures: ['https://pictures.example/a.png', 'data:image/png;base64,AA=='], mask: 'https://pictures.example/m.png', rest: { prompt: 'p', image: null } } })
  for (const [body, path] of [
    [{ images: [{}] }, '/images/0'], [{ images: { image_url: 7 } }, '/images'], [{ image: 'a.png' }, '/image'], [{ image: 'data:text/html,hello' }, '/image'],
    [{ images: [{ file_id: 'file-1' }] }, '/images/0/file_id'], [{ mask: ['https://pictures.example/a.png', 'https://pictures.example/b.png'] }, '/mask'], [{ mask: [] }, '/mask']
  ] satisfies ReadonlyArray<readonly [Json, string]>) t.match(readEdit(body, other), { ok: false, faults: [{ path }] }, path)
  t.end()
})

t.test('what a model has no place for is said, and never left out', t => {
  const [one, many, none] = [modelWith({ image_url: text }), modelWith({ image_urls: texts, mask_url: text }), modelWith({})]
  const asked = { pictures: ['a'], mask: null, rest: { prompt: 'p' } }
  t.match(placePictures(asked, one), { ok: true, body: { prompt: 'p', image_url: 'a' } })
  t.match(placePictures({ ...asked, pictures: ['a', 'b'], mask: 'm' }, many), { ok: true, body: { prompt: 'p', image_urls: ['a', 'b'], mask_url: 'm' } })
  t.match(placePictures({ ...asked, pictures: [], rest: { image_url: 'own' } }, one), { ok: true, body: { image_url: 'own' } })
  const pair = modelWith({ left_image_url: text, right_image_url: text })
  t.match(placePictures({ ...asked, pictures: [], rest: { left_image_url: 'l', right_image_url: 'r' } }, pair), { ok: true, body: { left_image_url: 'l', right_image_url: 'r' } }, 'who knows the model says which is which')
  t.match(placePictures(asked, pair), { ok: false, faults: [{ path: '/image', message: /left_image_url, right_image_url/ }] })
  t.match(placePictures(asked, imagen4Ultra), { ok: false, faults: [{ path: '/image', message: /fal-ai\/imagen4\/preview\/ultra takes no pictures, and fal-ai\/imagen4\/preview\/ultra\/edit is not on offer/ }] })
  for (const [given, model, path] of [
    [{ ...asked, pictures: [] }, pair, '/image'], [{ ...asked, pictures: [], mask: 'm', rest: { left_image_url: 'l' } }, pair, '/mask'], [asked, none, '/image'], [{ ...asked, pictures: [] }, one, '/image'], [{ ...asked, pictures: ['a', 'b'] }, one, '/image'], [{ ...asked, mask: 'm' }, one, '/mask'],
    [{ ...asked, rest: { image_url: 'own' } }, one, '/image'], [{ ...asked, mask: 'm', rest: { mask_url: 'own' } }, many, '/mask']
  ] satisfies ReadonlyArray<readonly [Parameters<typeof placePictures>[0], Model, string]>) t.match(placePictures(given, model), { ok: false, faults: [{ path }] }, path)
  t.end()
})
