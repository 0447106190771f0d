// Everything that documents of fal are made of, one row each: a document in; which inputs it takes, what of them is sent, what that costs at most, and which
// answers are a success. Also what contradicts itself, and words that mean something else elsewhere.

import t from 'tap'
import { createDocumentModel } from '../../src/models/document-model.ts'
import { readDocument } from '../../src/models/document.ts'
import type { SeedKind } from '../../src/models/seed.ts'
import { checkRule, fieldsOf, highestPrice } from '../../src/models/price-bound.ts'
import { parsePriceRule } from '../../src/models/price-rule.ts'
import { commonComponents, DOCUMENT_ID, falDocumentText, orNull, plainOutput, referenceTo, type FalDocumentOptions } from '../support/fal-documents.ts'

type Json = Readonly<Record<string, unknown>>

interface Row {
  readonly fields: Json
  readonly required?: readonly string[]
  /** Further words of the input. */
  readonly more?: Json
  readonly output?: Json
  readonly options?: FalDocumentOptions
  readonly rule?: Json
  /** A body, what is sent of it where that is something else, and what it costs at most. */
  readonly valid: ReadonlyArray<readonly [body: Json, sent: Json | null, price: number]>
  /** A body, and its faults: places and codes. */
  readonly invalid?: ReadonlyArray<readonly [body: Json, faults: string]>
  /** An answer, and the verdict: `success`, or why not. */
  readonly answers?: ReadonlyArray<readonly [answer: unknown, verdict: string]>
  readonly seed?: SeedKind
}

const call = { usd: 1, per: 'call' }
const image = { usd: 1, per: 'image' }
const megapixel = { usd: 1, per: 'megapixel' }
const picture = { images: [{ url: 'https://files.example/a.png' }] }
const text = { type: 'string' }
const whole = { type: 'integer' }
const sizes = { enum: ['square', 'square_hd'], type: 'string' }

const constructs: Readonly<Record<string, Row>> = {
  'a null whose permission was lost': {
    fields: { seed: whole, strength: { type: 'number', default: 0.5 } },
    valid: [[{ seed: null, strength: null }, {}, 1], [{ seed: 7 }, null, 1]],
    invalid: [[{ seed: '' }, '/seed wrong_type'], [{ seed: 1.5 }, '/seed wrong_type']],
    answers: [[picture, 'success'], [{ images: [] }, 'empty']],
    seed: 'in'
  },
  'a null that is allowed': {
    fields: { aspect_ratio: { ...orNull({ enum: ['auto', '1:1'], type: 'string' }), default: 'auto' }, scores: { type: 'array', items: orNull({ type: 'number' }) }, seed: orNull(whole) },
    valid: [[{ aspect_ratio: null, seed: null }, null, 1], [{ scores: [0.5, null] }, null, 1], [{}, null, 1]],
    invalid: [[{ aspect_ratio: '2:1' }, '/aspect_ratio one_of'], [{ scores: ['a'] }, '/scores/0 wrong_type'], [{ seed: 'a' }, '/seed wrong_type']],
    seed: 'in'
  },
  'a null by the word of OpenAPI 3.0': {
    fields: { style: { type: 'string', enum: ['oil'], nullable: true }, size: { ...referenceTo('ImageSize'), nullable: true } },
    valid: [[{ style: null, size: null }, null, 1], [{ style: 'oil', size: { width: 1 } }, null, 1]],
    invalid: [[{ style: 'ink' }, '/style one_of'], [{ size: { width: 0 } }, '/size/width greater_than']]
  },
  'a size in pixels or by name, with the default outside': {
    fields: { image_size: { anyOf: [referenceTo('ImageSize'), sizes], default: 'square_hd' } },
    rule: megapixel,
    valid: [
      [{}, { image_size: 'square_hd' }, 2], [{ image_size: 'square' }, null, 1], [{ image_size: { width: 2000, height: 1000 } }, null, 3],
      [{ image_size: { width: 100, height: null } }, { image_size: { width: 100 } }, 2]
    ],
    invalid: [
      [{ image_size: { width: 0, height: 1 } }, '/image_size/width greater_than'], [{ image_size: { width: 14143 } }, '/image_size/width less_than_equal'],
      [{ image_size: 'wide' }, '/image_size one_of'], [{ image_size: [1, 1] }, '/image_size one_of']
    ]
  },
  'a size that may also be null': {
    fields: { image_size: { anyOf: [referenceTo('ImageSize'), sizes, { type: 'null' }], default: 'square_hd' } },
    rule: { ...megapixel, max_usd: 300 },
    // What the model makes of a null is its own business: any size that it has.
    valid: [[{ image_size: null }, null, 201], [{}, { image_size: 'square_hd' }, 2]],
    invalid: [[{ image_size: 7 }, '/image_size one_of']]
  },
  'a choice that any text fits': {
    fields: { aspect_ratio: { anyOf: [{ enum: ['16:9'], type: 'string' }, text], default: '16:9' } },
    valid: [[{ aspect_ratio: '7:3' }, null, 1]],
    invalid: [[{ aspect_ratio: 1 }, '/aspect_ratio one_of']]
  },
  'a reference by allOf': {
    fields: { control: { allOf: [referenceTo('Control')], title: 'Control' } },
    options: { components: { Control: { type: 'object', required: ['path'], properties: { path: text, scale: { type: 'number', maximum: 2 } } } } },
    valid: [[{ control: { path: 'p', scale: 1.5 } }, null, 1], [{ control: { path: 'p', scale: null } }, { control: { path: 'p' } }, 1]],
    invalid: [[{ control: { scale: 3 } }, '/control/path missing, /control/scale less_than_equal'], [{ control: 'p' }, '/control wrong_type']]
  },
  'a reference with words beside it': {
    fields: { mask: { ...referenceTo('Mask'), description: 'Mine.', examples: [{ url: 'https://files.example/m.png' }], maxProperties: 1 } },
    options: { components: { Mask: { type: 'object', properties: { url: text, name: text } } } },
    valid: [[{ mask: { url: 'https://files.example/m.png' } }, null, 1]],
    invalid: [[{ mask: { url: 'a', name: 'b' } }, '/mask maxProperties']]
  },
  'a component of a mangled name': {
    fields: { size: referenceTo('registry__image__fast/models~x__Size') },
    options: { components: { 'registry__image__fast/models~x__Size': { type: 'object', properties: { side: whole } } } },
    valid: [[{ size: { side: 1 } }, null, 1]],
    invalid: [[{ size: { side: 'a' } }, '/size/side wrong_type']]
  },
  constants: {
    fields: { version: { const: '3', type: 'string', default: '3' }, level: { anyOf: [{ const: 'word' }, { const: 'segment' }] } },
    valid: [[{ version: '3', level: 'word' }, null, 1], [{}, null, 1]],
    invalid: [[{ version: '2' }, '/version one_of'], [{ level: 'page' }, '/level one_of']]
  },
  'a tuple': {
    fields: { range: { type: 'array', prefixItems: [{ type: 'number' }, { type: 'number' }], minItems: 2, maxItems: 2 } },
    valid: [[{ range: [0, 1.5] }, null, 1]],
    invalid: [[{ range: [0, 'a'] }, '/range/1 wrong_type'], [{ range: [0] }, '/range sequence_too_short'], [{ range: [0, 1, 2] }, '/range sequence_too_long']]
  },
  'a pattern': {
    fields: { aspect_ratio: { type: 'string', pattern: '^\\d{1,2}:\\d{1,2}$' } },
    valid: [[{ aspect_ratio: '16:9' }, null, 1]],
    invalid: [[{ aspect_ratio: 'x16:9' }, '/aspect_ratio pattern']]
  },
  'a field that will go': {
    fields: { text_prompt: { type: 'string', deprecated: true } },
    valid: [[{ text_prompt: 'a' }, null, 1]],
    invalid: [[{ text_prompt: 1 }, '/text_prompt wrong_type']]
  },
  'no further fields': {
    fields: { style: text },
    more: { additionalProperties: false },
    valid: [[{ style: 'oil' }, null, 1]],
    invalid: [[{ styl: 'oil' }, '/styl unknown_field']]
  },
  'an object of any names': {
    fields: { weights: { type: 'object', additionalProperties: { type: 'number' } } },
    output: { ...plainOutput, properties: { images: { type: 'array', items: referenceTo('File') }, timings: { type: 'object', additionalProperties: { type: 'number' } } } },
    valid: [[{ weights: { a: 1, constructor: 2 } }, null, 1]],
    invalid: [[{ weights: { a: 'b' } }, '/weights/a wrong_type']],
    answers: [[{ ...picture, timings: { inference: 1 } }, 'success'], [{ timings: { inference: 1 } }, 'no-file']]
  },
  'enums of numbers, and of texts that are numbers': {
    fields: { label: { enum: [0, 1], type: 'integer' }, duration: { enum: ['5', '10'], type: 'string', default: '5' } },
    rule: { usd: 0.1, per: 'second' },
    valid: [[{ label: 1, duration: '10' }, null, 1], [{}, { duration: '5' }, 0.5]],
    invalid: [[{ label: 2 }, '/label one_of'], [{ label: '1' }, '/label one_of'], [{ duration: 5 }, '/duration one_of']]
  },
  'lengths and counts': {
    fields: { prompt: { type: 'string', minLength: 2, maxLength: 3 }, image_urls: { type: 'array', items: text, minItems: 1, maxItems: 2 } },
    valid: [[{ prompt: '🚲🚲🚲', image_urls: ['a'] }, null, 1]],
    invalid: [[{ prompt: 'a', image_urls: [] }, '/prompt sequence_too_short, /image_urls sequence_too_short'], [{ prompt: 'aaaa', image_urls: ['a', 'b', 'c'] }, '/prompt sequence_too_long, /image_urls sequence_too_long']]
  },
  'words of vendors, and formats that nobody knows': {
    fields: {
      image_url: { type: 'string', format: 'data-uri', 'x-fal': { max_file_size: 1, min_width: 64 }, limit_description: 'Small.', ui: { field: 'image', important: true }, _fal_ui_field: 'image', 'x-new-in-2027': true },
      style_id: orNull({ type: 'string', format: 'uuid4' }),
      urls: { type: 'array', items: { type: 'string', format: 'https-url', _fal_ui_field: 'image' } }
    },
    more: { 'x-fal-order-properties': ['image_url'] },
    valid: [[{ image_url: 'anything', style_id: 'no uuid', urls: ['neither'] }, null, 1]],
    invalid: [[{ image_url: {} }, '/image_url wrong_type']]
  },
  'one form of several, told apart by a word': {
    fields: { layer: { oneOf: [referenceTo('TextLayer'), referenceTo('BoxLayer')], discriminator: { propertyName: 'kind' } } },
    options: {
      components: {
        TextLayer: { type: 'object', required: ['kind', 'text'], properties: { kind: { const: 'text' }, text } },
        BoxLayer: { type: 'object', required: ['kind'], properties: { kind: { const: 'box' }, side: whole } }
      }
    },
    valid: [[{ layer: { kind: 'box', side: 1 } }, null, 1]],
    invalid: [[{ layer: 5 }, '/layer wrong_type']]
  }
}

const contradictions: Readonly<Record<string, Row>> = {
  'a default of another type': {
    fields: { num_frames: { enum: ['129', '85'], type: 'string', default: 129 } },
    rule: { usd: 0.01, per: 'second', of: 'num_frames' },
    // It is not sent, because the model may refuse it; it counts, because the model may take it.
    valid: [[{}, null, 1.29], [{ num_frames: '85' }, null, 0.85]],
    invalid: [[{ num_frames: 129 }, '/num_frames one_of']]
  },
  'more in the text than the bounds allow': {
    fields: { num_images: { ...whole, description: '1 to 4 pictures.', minimum: 1, maximum: 1, default: 1 } },
    rule: image,
    valid: [[{}, { num_images: 1 }, 1]],
    invalid: [[{ num_images: 2 }, '/num_images less_than_equal']]
  },
  'bounds that stand in the text or in vendors\' words alone': {
    fields: { image_size: { ...referenceTo('ImageSize'), description: 'From 1024 to 4096 pixels.', 'x-fal': { min_width: 1024 } } },
    valid: [[{ image_size: { width: 1, height: 14142 } }, null, 1]]
  },
  'a nested default that is not the outer one': {
    fields: { image_size: { anyOf: [referenceTo('ImageSize'), sizes], default: 'square' } },
    rule: megapixel,
    valid: [[{ image_size: {} }, null, 201]]
  },
  'a seed that is answered and not taken': {
    fields: { num_images: { ...whole, minimum: 1, maximum: 6, default: 1 }, max_images: { ...whole, minimum: 1, maximum: 6, default: 1 } },
    output: { type: 'object', required: ['images', 'seed'], properties: { images: { type: 'array', items: referenceTo('File') }, seed: whole } },
    rule: image,
    valid: [[{ num_images: 2, max_images: 3 }, null, 6], [{ num_images: 2 }, { num_images: 2, max_images: 1 }, 2]],
    invalid: [[{ seed: 1 }, '/seed unknown_field']],
    answers: [[{ ...picture, seed: 7 }, 'success'], [picture, 'success'], [{ images: [], seed: 7 }, 'no-file']],
    seed: 'out'
  },
  'one of two is needed, and neither is required': {
    fields: { prompt: orNull(text), multi_prompt: orNull({ type: 'array', items: text }) },
    valid: [[{}, null, 1], [{ prompt: 'a', multi_prompt: ['b'] }, null, 1]]
  },
  'one of two is needed, and the document says so': {
    fields: { prompt: text, multi_prompt: { type: 'array', items: text } },
    more: { anyOf: [{ required: ['prompt'] }, { required: ['multi_prompt'] }] },
    valid: [[{ prompt: 'a' }, null, 1], [{ multi_prompt: [] }, null, 1]],
    invalid: [[{}, '/prompt missing, /multi_prompt missing']]
  },
  'a field that another of the same name overrides': {
    fields: { quality: { enum: ['low', 'high'], default: 'low' }, options: { type: 'object', properties: { quality: { enum: ['low', 'high'] } } } },
    rule: { ...call, times: { quality: { low: 1, high: 3 } } },
    valid: [[{ quality: 'low' }, null, 1], [{}, { quality: 'low' }, 1], [{ quality: 'low', options: {} }, null, 3]],
    invalid: [[{ options: { quality: 'best' } }, '/options/quality one_of']]
  },
  'a price that depends on a default which stands in the text': {
    fields: { speed: { enum: ['fast', 'balanced'], default: 'balanced' }, pro: { type: 'boolean', default: false }, audio: { type: 'boolean' } },
    rule: { usd: 0.06, per: 'call', times: { speed: { fast: 0.5, balanced: 1 }, pro: { true: 2 } }, plus: { audio: { true: 0.04 } } },
    valid: [[{}, { speed: 'balanced', pro: false }, 0.16], [{ speed: 'fast', pro: true, audio: false }, null, 0.1]],
    invalid: [[{ pro: 'true' }, '/pro wrong_type']]
  }
}

const homonyms: Readonly<Record<string, Row>> = {
  'a sync_mode that is a word': {
    fields: { sync_mode: { enum: ['cut_off', 'loop', 'bounce'], type: 'string', default: 'cut_off' } },
    valid: [[{ sync_mode: 'loop' }, null, 1], [{}, null, 1]],
    invalid: [[{ sync_mode: true }, '/sync_mode one_of'], [{ sync_mode: false }, '/sync_mode one_of']]
  },
  'a sync_mode that is a switch': {
    fields: { sync_mode: { type: 'boolean', default: false } },
    valid: [[{ sync_mode: true }, null, 1], [{}, null, 1]],
    invalid: [[{ sync_mode: 'loop' }, '/sync_mode wrong_type']],
    answers: [[{ images: [{ url: 'data:image/png;base64,AAAA' }] }, 'success']]
  },
  'an output_format of a mesh': {
    fields: { output_format: { enum: ['ply', 'splat'], type: 'string' } },
    output: { type: 'object', properties: { model_mesh: referenceTo('File') }, required: ['model_mesh'] },
    valid: [[{ output_format: 'ply' }, null, 1]],
    invalid: [[{ output_format: 'png' }, '/output_format one_of']],
    answers: [[{ model_mesh: { url: 'https://files.example/a.ply' } }, 'success'], [{ model_mesh: null }, 'empty']]
  },
  'names that have a seed in them': {
    fields: { model_seed: whole, texture_seed: orNull(whole), seeds: { type: 'array', items: whole } },
    output: { ...plainOutput, properties: { images: { type: 'array', items: referenceTo('File') }, used_seed: whole } },
    valid: [[{ model_seed: 1, texture_seed: null, seeds: [2] }, null, 1]],
    invalid: [[{ model_seed: 2 ** 53 }, '/model_seed not_exact'], [{ seeds: [2 ** 60] }, '/seeds/0 not_exact'], [{ seed: 1 }, '/seed unknown_field']],
    answers: [[{ ...picture, used_seed: 1 }, 'success']],
    seed: 'none'
  },
  'a seed beyond 2^53, which has its digits beside it': {
    fields: { seed: whole },
    valid: [[{ seed: 2 ** 60 }, null, 1]],
    seed: 'in'
  },
  'a prompt that has a default': {
    fields: { prompt: { type: 'string', default: 'wheel' } },
    required: [],
    output: { type: 'object', properties: { image: orNull(referenceTo('File')), masks: { type: 'array', items: referenceTo('File') } } },
    rule: { usd: 0.01, per: '1000 characters', max_usd: 1 },
    valid: [[{}, { prompt: 'wheel' }, 0.01], [{ prompt: 'x'.repeat(1001) }, null, 0.02]],
    answers: [[{ image: null, masks: [{ url: 'https://files.example/m.png' }] }, 'success'], [{ image: null, masks: [] }, 'empty']]
  },
  'a secret in a body': {
    fields: { openai_api_key: text, end_user_id: text },
    valid: [[{ openai_api_key: 'sk', end_user_id: 'u' }, null, 1]],
    invalid: [[{ openai_api_key: 1 }, '/openai_api_key wrong_type']]
  },
  'names of prototypes': {
    fields: { constructor: text, toString: whole, hasOwnProperty: { ...text, default: 'x' }, inner: { type: 'object', properties: { valueOf: text }, required: ['valueOf'] } },
    required: ['constructor'],
    valid: [[{ constructor: 'a' }, null, 1], [{ constructor: 'a', toString: 1, inner: { valueOf: 'b' } }, null, 1]],
    invalid: [[{}, '/constructor missing'], [{ constructor: 'a', inner: {} }, '/inner/valueOf missing'], [{ constructor: 1 }, '/constructor wrong_type'], [JSON.parse('{"__proto__": {"toString": 1}}'), '/__proto__ unknown_field, /constructor missing']]
  }
}

function modelOf ({ fields, required, more, output, options, rule }: Row) {
  const input = { type: 'object', properties: fields, ...(required !== undefined && { required }), ...more }
  const components = { ...commonComponents, ...options?.components }
  const reading = readDocument(falDocumentText(input, output ?? plainOutput, { ...options, components }), DOCUMENT_ID)
  if (!reading.ok) throw new Error(reading.fault)
  const parsed = parsePriceRule(rule ?? call)
  if (!parsed.ok) throw new Error(parsed.faults.join('; '))
  return { document: reading.document, rule: parsed.rule, model: createDocumentModel({ document: reading.document, rule: parsed.rule, cacheVersion: 1, isOpen: true }) }
}

for (const [kind, rows] of Object.entries({ constructs, contradictions, homonyms })) {
  for (const [title, row] of Object.entries(rows)) {
    t.test(`${kind}: ${title}`, async t => {
      const { document, rule, model } = modelOf(row)
      t.same(checkRule(rule, document).filter(fault => !fault.startsWith('/max_usd')), [], 'the rule fits')
      t.equal(model.seed, row.seed ?? (Object.hasOwn(row.fields, 'seed') ? 'in' : 'none'))
      for (const unknownFields of ['refuse', 'leave-out'] as const) {
        for (const [body, sent, price] of row.valid) {
          const given = JSON.stringify(body)
          const input = model.readInput(body, { unknownFields, sentDefaults: fieldsOf(rule) })
          t.same(input.ok ? input.sent : input.faults, sent ?? body, `${given}: what is sent`)
          const priced = highestPrice(rule, input.ok ? input.sent : {}, document)
          t.equal(priced.ok ? priced.price : priced.fault, Math.round(price * 1_000_000), `${given}: what it costs at most`)
          t.equal(JSON.stringify(body), given, 'what was given stays as it is')
        }
      }
      for (const [body, faults] of row.invalid ?? []) {
        const input = model.readInput(body, { unknownFields: 'refuse', sentDefaults: fieldsOf(rule) })
        t.equal(input.ok ? '' : input.faults.map(({ path, code }) => `${path} ${code}`).join(', '), faults, JSON.stringify(body))
      }
      for (const [answer, verdict] of row.answers ?? []) {
        const judged = model.answers.judge(answer)
        t.equal(judged.isSuccess ? 'success' : judged.reason, verdict, JSON.stringify(answer))
      }
    })
  }
}
