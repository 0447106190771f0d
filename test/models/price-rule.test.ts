// The price rule: what a call may cost at most is never told too low, and every fault of a rule gets a sentence.

import fc from 'fast-check'
import t from 'tap'
import { checkRule, fieldsOf, highestPrice, unpricedValues } from '../../src/models/price-bound.ts'
import type { PricedDocument } from '../../src/models/price-fields.ts'
import { parsePriceRule, type PriceRule } from '../../src/models/price-rule.ts'

type Input = Readonly<Record<string, unknown>>

function ruleOf (json: unknown): PriceRule {
  const parsed = parsePriceRule(json)
  if (!parsed.ok) throw new Error(parsed.faults.join('\n'))
  return parsed.rule
}

function documentOf (properties: Input, more: Input = {}): PricedDocument {
  return { input: { type: 'object', properties: { prompt: { type: 'string' }, ...properties }, required: ['prompt'], ...more } }
}

/** Micro-dollars, or the sentence. */
function priceOf (rule: unknown, document: PricedDocument, input: Input = {}): number | string {
  const priced = highestPrice(ruleOf(rule), input, document)
  return priced.ok ? priced.price : priced.fault
}

const upTo = (maximum: number): Input => ({ type: 'integer', minimum: 1, maximum, default: 1 })
const orNull = (schema: Input): Input => ({ anyOf: [schema, { type: 'null' }] })

const side = { type: 'integer', exclusiveMinimum: 0, maximum: 2048, default: 512 }
const withSizes = { $defs: { Size: { type: 'object', properties: { width: side, height: side } } } }
const presetWords = ['square_hd', 'square', 'portrait_4_3', 'portrait_16_9', 'landscape_4_3', 'landscape_16_9']
const imageSize = { anyOf: [{ $ref: '#/$defs/Size' }, { type: 'string', enum: presetWords }], default: 'landscape_4_3' }

const painter = documentOf({
  num_images: upTo(4),
  resolution: { type: 'string', enum: ['0.5K', '1K', '2K', '4K'], default: '1K' },
  enable_web_search: { type: 'boolean', default: false },
  thinking: orNull({ type: 'string', enum: ['low', 'high'] })
})
const painting = {
  usd: 0.08,
  per: 'image',
  times: { resolution: { '0.5K': 0.75, '1K': 1, '2K': 1.5, '4K': 2 } },
  plus: { enable_web_search: { false: 0, true: 0.015 } },
  max_usd: 0.66
}

t.test('a call whose fields are all given costs what the rule says, exactly', async t => {
  const input = { num_images: 1, resolution: '1K', enable_web_search: false }
  t.equal(priceOf(painting, painter, input), 80_000)
  t.equal(priceOf(painting, painter, { ...input, num_images: 4, resolution: '4K' }), 640_000)
  t.equal(priceOf(painting, painter, { ...input, num_images: 3, resolution: '0.5K', enable_web_search: true }), 195_000, 'what is added is added once a call')
  t.equal(priceOf({ ...painting, plus: { enable_web_search: { false: 0, true: { usd: '0.015', per: 'image' } } }, max_usd: 0.7 }, painter, { ...input, num_images: 3, enable_web_search: true }), 285_000, 'unless the rule says for each picture')
})

t.test('what is open counts at its dearest', async t => {
  const input = { num_images: 2, resolution: '1K', enable_web_search: false }
  for (const [title, open, expected] of [
    ['an absent number of pictures', { num_images: undefined }, 320_000],
    ['a null number of pictures', { num_images: null }, 320_000],
    ['a number of pictures that is auto', { num_images: 'auto' }, 320_000],
    ['no pictures, of which nobody knows what the model makes', { num_images: 0 }, 320_000],
    ['a number that is a text', { num_images: '3' }, 240_000],
    ['a broken number', { num_images: 2.5 }, 240_000],
    ['an absent resolution', { resolution: undefined }, 320_000],
    ['a null resolution', { resolution: null }, 320_000],
    ['auto', { resolution: 'auto' }, 320_000],
    ['a value without an entry', { resolution: '8K' }, 320_000],
    ['a list', { resolution: ['1K'] }, 320_000],
    ['an absent switch', { enable_web_search: undefined }, 175_000]
  ] as const) t.equal(priceOf(painting, painter, { ...input, ...open }), expected, title)
  t.equal(priceOf(painting, painter), 655_000, 'everything')
  const cheaperOnly = { usd: 1, per: 'call', times: { resolution: { '0.5K': 0.5 } } }
  t.equal(priceOf(cheaperOnly, painter, { resolution: '4K' }), 1_000_000, 'the unit price itself is one of the prices')
  t.same(unpricedValues(ruleOf(cheaperOnly), painter), [{ field: 'resolution', values: ['1K', '2K', '4K'] }])
})

t.test('prices are exact, and parts of a micro-dollar are rounded up', async t => {
  const input = { num_images: 3, resolution: '1K' }
  t.equal(priceOf({ usd: 0.0398, per: 'image' }, painter, input), 119_400)
  t.equal(priceOf({ usd: 0.00167, per: 'image' }, painter, input), 5_010)
  t.equal(priceOf({ usd: '0.00017', per: 'image', times: { resolution: { '1K': '1.1' } } }, painter, input), 561)
  t.equal(priceOf({ usd: 0.00007, per: 'image', times: { resolution: { '1K': 1.000000000001 } } }, painter, input), 211)
  t.equal(priceOf({ usd: 0.1, per: 'image', times: { resolution: { '1K': 1.1 } } }, painter, input), 330_000, 'which binary fractions would make 330001')
  t.same([0.0000001, '0.0000001', 0.000001, '0.0000011'].map(usd => priceOf({ usd, per: 'call' }, painter)), [1, 1, 1, 2])
})

t.test('pictures are the product of all the counts', async t => {
  const series = documentOf({ num_images: upTo(6), max_images: orNull(upTo(6)) })
  t.equal(priceOf({ usd: 0.03, per: 'image' }, series, { num_images: 2, max_images: 3 }), 180_000)
  t.equal(priceOf({ usd: 0.03, per: 'image' }, series, { num_images: 2 }), 360_000)
  t.equal(priceOf({ usd: 0.03, per: 'image' }, series), 1_080_000)
  t.equal(priceOf({ usd: 0.03, per: 'image' }, documentOf({})), 30_000, 'without counts it is one')
  const other = documentOf({ batch_size: upTo(8) })
  t.match(checkRule(ruleOf({ usd: 0.03, per: 'image' }), other), ['/count: the model\'s batch_size looks like a number of results'])
  t.same(checkRule(ruleOf({ usd: 0.03, per: 'image', count: 'batch_size' }), other), [])
  t.equal(priceOf({ usd: 0.03, per: 'image', count: 'batch_size' }, other, { batch_size: 5 }), 150_000)
})

t.test('the highest number is found behind every construct, and a default that the document forbids counts, too', async t => {
  for (const [title, schema, more, expected] of [
    ['a maximum', { type: 'integer', maximum: 4 }, {}, 4],
    ['an exclusive maximum', { type: 'integer', exclusiveMaximum: 5 }, {}, 5],
    ['null as well', orNull({ type: 'integer', maximum: 4 }), {}, 4],
    ['null as a type', { type: ['integer', 'null'], maximum: 4 }, {}, 4],
    ['a reference with siblings', { $ref: '#/$defs/N', description: 'x' }, { $defs: { N: { type: 'integer', maximum: 4 } } }, 4],
    ['all of', { allOf: [{ $ref: '#/$defs/N' }], maximum: 3 }, { $defs: { N: { type: 'integer', maximum: 4 } } }, 3],
    ['any of', { anyOf: [{ type: 'integer', maximum: 4 }, { type: 'integer', enum: [6, 8] }] }, {}, 8],
    ['texts', { type: 'string', enum: ['1', '2', '4', 'auto'] }, {}, 4],
    ['a constant', { const: 2 }, {}, 2],
    ['a default of another type', { type: 'string', enum: ['129', '85'], default: 129 }, {}, 129],
    ['a default above the maximum', { type: 'integer', maximum: 1, default: 4 }, {}, 4]
  ] as const) t.equal(priceOf({ usd: 1, per: 'image' }, documentOf({ num_images: schema }, more)), expected * 1_000_000, title)

  const unbounded = 'what it costs at most cannot be told: num_images has no upper bound'
  for (const [title, schema, more] of [
    ['no maximum', { type: 'integer' }, {}],
    ['a branch without one', { anyOf: [{ type: 'integer', maximum: 4 }, { type: 'integer' }] }, {}],
    ['a branch for any text', { anyOf: [{ enum: [1, 2] }, { type: 'string' }] }, {}],
    ['words', { enum: ['few', 'many'] }, {}],
    ['nothing but auto', { enum: ['auto', null] }, {}],
    ['no type', {}, {}],
    ['a reference to nothing', { $ref: '#/$defs/M' }, {}],
    ['a schema inside itself', { $ref: '#/$defs/N' }, { $defs: { N: { anyOf: [{ type: 'integer', maximum: 4 }, { $ref: '#/$defs/N' }] } } }]
  ] as const) {
    const document = documentOf({ num_images: schema }, more)
    t.equal(priceOf({ usd: 1, per: 'image' }, document), unbounded, title)
    t.same(checkRule(ruleOf({ usd: 1, per: 'image' }), document), ['/max_usd: is needed, because num_images has no upper bound'], title)
    t.equal(priceOf({ usd: 1, per: 'image', max_usd: 9 }, document), 9_000_000, title)
    t.equal(priceOf({ usd: 1, per: 'image' }, document, { num_images: 2 }), 2_000_000, 'what the caller says is known')
  }
})

t.test('megapixels come from sizes and presets, are rounded up for each picture, and count for all of them', async t => {
  const document = documentOf({ image_size: imageSize, num_images: upTo(4) }, withSizes)
  const rule = { usd: 0.01, per: 'megapixel' }
  t.same(checkRule(ruleOf(rule), document), [])
  for (const [size, expected] of [
    ['square', 1], ['landscape_16_9', 1], ['square_hd', 2], [{ width: 512, height: 512 }, 1], [{ width: '512', height: 512 }, 1], [{ width: 1000, height: 1000 }, 2],
    [{ width: 1024, height: 2048 }, 3], [{ width: 1024 }, 3], [{ width: 1024, height: 0 }, 3], [{}, 5], [null, 5], [undefined, 5], ['auto', 5]
  ] as const) {
    t.equal(priceOf(rule, document, { image_size: size, num_images: 1 }), expected * 10_000, JSON.stringify(size))
    t.equal(priceOf(rule, document, { image_size: size, num_images: 3 }), expected * 30_000, `three of ${JSON.stringify(size)}`)
  }
  t.equal(priceOf(rule, document, { image_size: 'portrait', num_images: 1 }), 'what it costs at most cannot be told: image_size has no upper bound in pixels')
  t.equal(priceOf(rule, documentOf({ num_images: upTo(1) })), 'what it costs at most cannot be told: the model has no image_size')
  const two = documentOf({ image_size: imageSize, width: side }, withSizes)
  t.equal(priceOf(rule, two, { image_size: 'square' }), 'what it costs at most cannot be told: the model has a width besides image_size')
})

t.test('a word of image_size means the pixels that the rule gives it', async t => {
  const document = documentOf({ image_size: { enum: ['square', 'auto_4K'] } })
  const rule = { usd: 1, per: 'megapixel', sizes: { auto_4K: [4096, 4096] } }
  t.equal(priceOf(rule, document), 17_000_000)
  t.equal(priceOf({ ...rule, sizes: { ...rule.sizes, square: [2048, 2048] } }, document, { image_size: 'square' }), 5_000_000)
  t.match(checkRule(ruleOf({ usd: 1, per: 'megapixel' }), document), ['/max_usd: is needed, because image_size has no upper bound in pixels'])
  t.match(checkRule(ruleOf({ ...rule, sizes: { auto_4k: [4096, 4096] } }), document), ['/sizes/auto_4k: the model\'s image_size cannot have this value; did you mean "auto_4K"?'])
})

t.test('megapixels are refused for models that take pictures', async t => {
  const rule = ruleOf({ usd: 0.01, per: 'megapixel' })
  for (const [name, schema] of [
    ['image_url', { type: 'string' }], ['image_urls', { type: 'array', items: { type: 'string' } }], ['mask_url', orNull({ type: 'string' })], ['first_frame_url', { type: 'string' }],
    ['image', { $ref: '#/$defs/Size' }], ['source', { type: 'string', ui: { field: 'image' } }], ['elements', { type: 'array', items: { type: 'object', properties: { reference_image_url: { type: 'string' } } } }]
  ] as const) t.match(checkRule(rule, documentOf({ image_size: imageSize, [name]: schema }, withSizes))[0], /^\/per: the model takes pictures/, name)
  for (const [name, schema] of [
    ['enhance_image', { type: 'boolean' }], ['loras', { type: 'array', maxItems: 3, items: { type: 'object', properties: { path: { type: 'string' } } } }], ['image_prompt_strength', { type: 'number' }],
    ['image_format', { enum: ['png', 'jpeg'] }], ['lora_url', { type: 'string' }]
  ] as const) t.same(checkRule(rule, documentOf({ image_size: imageSize, [name]: schema }, withSizes)), [], name)
})

t.test('seconds and characters are counted from numbers, texts of numbers and texts', async t => {
  const film = documentOf({ duration: { type: 'string', enum: ['5', '8s', 'auto'], default: '5' } })
  for (const [duration, expected] of [['5', 5], [5, 5], ['5s', 5], [4.2, 5], ['auto', 8], [null, 8], [undefined, 8], [-1, 8], ['long', 8]] as const) {
    t.equal(priceOf({ usd: 0.1, per: 'second' }, film, { duration }), expected * 100_000, String(duration))
  }
  t.match(checkRule(ruleOf({ usd: 0.1, per: 'second' }), documentOf({})), ['/max_usd: is needed, because no field of the model holds the seconds'])

  const voice = documentOf({ text: { type: 'string', maxLength: 5000 } })
  const rule = { usd: 0.1, per: '1000 characters' }
  t.equal(priceOf(rule, voice, { prompt: '', text: 'x'.repeat(1001) }), 200_000)
  t.equal(priceOf(rule, voice, { prompt: 'x'.repeat(1001), text: '' }), 200_000)
  t.equal(priceOf(rule, voice, { prompt: '', text: '' }), 100_000)
  t.equal(priceOf(rule, voice, { prompt: '' }), 1_000_000, 'at most 5000 code points of two units each')
  t.same(checkRule(ruleOf(rule), voice), [], 'a text that every call brings needs no bound')
  t.match(checkRule(ruleOf(rule), documentOf({ text: { type: 'string' } })), ['/max_usd: is needed, because text has no upper bound in characters'])
  t.equal(priceOf({ ...rule, of: 'lines' }, documentOf({ lines: { type: 'string' } }), { lines: 'x', prompt: 'x'.repeat(5000) }), 100_000)
})

t.test('a field further inside that has the same name may override it', async t => {
  const document = documentOf({
    quality: { enum: ['low', 'high'] },
    num_images: upTo(2),
    options: { type: 'object', properties: { quality: { enum: ['low', 'high'] }, num_images: upTo(9) } }
  })
  const rule = { usd: 1, per: 'call', times: { quality: { low: 1, high: 3 } } }
  t.equal(priceOf(rule, document, { quality: 'low' }), 1_000_000)
  t.equal(priceOf(rule, document, { quality: 'low', options: {} }), 3_000_000)
  t.match(priceOf({ usd: 1, per: 'image' }, document, { num_images: 1, options: {} }), /num_images has no upper bound/)
})

t.test('a unit that cannot be counted costs max_usd, and is settled with its unit price', async t => {
  const priced = highestPrice(ruleOf({ usd: 1, per: 'units', max_usd: 0.3 }), {}, painter)
  t.match(priced, { ok: true, price: 300_000, unitPrice: 1_000_000 })
  t.match(highestPrice(ruleOf({ max_usd: 0.3 }), {}, painter), { ok: true, price: 300_000, unitPrice: null }, 'without a unit price no units are multiplied')
  t.match(highestPrice(ruleOf(painting), { resolution: '4K' }, painter), { unitPrice: 80_000 }, 'factors are units to fal, and never part of the unit price')
})

t.test('a price above max_usd is a fault of the file, found before a call and in a call', async t => {
  const low = { ...painting, max_usd: 0.6 }
  t.match(checkRule(ruleOf(low), painter), [/^\/max_usd: a call may cost 0.655 USD by this rule/])
  t.same(checkRule(ruleOf(painting), painter), [])
  t.match(highestPrice(ruleOf(low), {}, painter), { ok: false, kind: 'above-max', fault: /0.655 USD/ })
  t.match(highestPrice(ruleOf({ usd: 900, per: 'image' }), { num_images: 2 }, painter), { ok: false, kind: 'unbounded' })
})

t.test('a rule may name only what the document has', async t => {
  t.same(checkRule(ruleOf({
    usd: 1,
    per: 'image',
    times: { resolutoin: { '1K': 1 }, resolution: { '2k': 2 } },
    plus: { enable_web_search: { yes: 1 }, thinking: { high: 1, null: 2 } },
    count: ['num_image']
  }), painter), [
    '/times/resolutoin: the model has no such field; did you mean "resolution"?',
    '/times/resolution/2k: the model\'s resolution cannot have this value; did you mean "2K"?',
    '/plus/enable_web_search/yes: the model\'s enable_web_search cannot have this value',
    '/plus/thinking/null: the model\'s thinking cannot have this value',
    '/count/0: the model has no such field; did you mean "num_images"?'
  ])
  const numbers = documentOf({ level: { type: 'integer', minimum: 1, maximum: 3 }, style: { anyOf: [{ enum: ['a'] }, { type: 'string' }] } })
  t.same(checkRule(ruleOf({ usd: 1, per: 'call', times: { level: { 3: 1, 4: 2, 1.5: 1 }, style: { z: 2 } } }), numbers).map(fault => fault.split(':')[0]), ['/times/level/4', '/times/level/1.5'])
})

t.test('the fields of a rule are told, so that their defaults can be sent', async t => {
  t.same(fieldsOf(ruleOf(painting)), ['resolution', 'enable_web_search', 'num_images', 'max_images'])
  t.same(fieldsOf(ruleOf({ usd: 1, per: 'megapixel' })), ['image_size', 'num_images', 'max_images'])
  t.same(fieldsOf(ruleOf({ usd: 1, per: '1000 characters', of: ['lines'] })), ['lines'])
  t.same(fieldsOf(ruleOf({ max_usd: 1 })), [])
})

t.test('every fault of a rule\'s JSON has a sentence with its place', async t => {
  for (const [json, fault] of [
    [null, 'the price rule: expected an object'],
    [[], 'the price rule: expected an object'],
    [{}, 'the price rule: expected usd with per, or max_usd'],
    [{ usd: 1 }, '/per: is missing'],
    [{ usd: 1, per: 'image', tims: {} }, '/tims: is not known; did you mean "times"?'],
    [{ usd: 1, per: 'image', maxUsd: 3 }, '/maxUsd: is not known; did you mean "max_usd"?'],
    [{ usd: -1, per: 'image' }, '/usd: expected dollars'],
    [{ usd: '1e3', per: 'image' }, '/usd: expected dollars'],
    [{ usd: 1001, per: 'image' }, '/usd: expected dollars'],
    [{ usd: null, per: 'image' }, '/usd: expected dollars'],
    [{ usd: 1, per: 'images' }, '/per: how many "images" a call takes cannot be told beforehand, so that max_usd is needed; did you mean "image"?'],
    [{ usd: 1, per: 3 }, '/per: expected a unit'],
    [{ per: 'image', max_usd: 1 }, '/per: means nothing without usd'],
    [{ usd: 1, per: 'units', max_usd: 1, times: { a: { b: 1 } } }, '/times: means nothing with this unit'],
    [{ usd: 1, per: 'image', times: [] }, '/times: expected an object of fields'],
    [{ usd: 1, per: 'image', times: { a: 2 } }, '/times/a: expected an object of values'],
    [{ usd: 1, per: 'image', times: { 'a/b': { c: -2 } } }, '/times/a~1b/c: expected a factor'],
    [{ usd: 1, per: 'image', plus: { a: { b: { per: 'image' } } } }, '/plus/a/b/usd: is missing'],
    [{ usd: 1, per: 'image', plus: { a: { b: { usd: 1, per: 'second ' } } }, of: 3 }, '/of: expected the name of a field'],
    [{ usd: 1, per: 'image', plus: { a: { b: { usd: 1, per: 'imge' } } } }, '/plus/a/b/per: expected one of call, image, megapixel, second, 1000 characters; did you mean "image"?'],
    [{ usd: 1, per: 'call', count: ['n'] }, '/count: means nothing'],
    [{ usd: 1, per: 'image', sizes: { a: [1, 2] } }, '/sizes: means nothing'],
    [{ usd: 1, per: 'megapixel', sizes: { a: [1, 0] } }, '/sizes/a: expected width and height'],
    [{ usd: 2, per: 'call', max_usd: 1 }, '/max_usd: is below the price of a call, 2']
  ] as const) {
    const parsed = parsePriceRule(json)
    const faults = parsed.ok ? [] : parsed.faults
    t.equal(faults.length, 1, JSON.stringify(json))
    t.ok(faults[0]?.startsWith(fault), `${faults[0]} begins with: ${fault}`)
  }
  t.same(ruleOf({ usd: 1, per: '1000 characters ' }).per, '1000 characters', 'fal\'s own words end in spaces')
})

t.test('a field named like a part of every object is a field like others', async t => {
  const hostile: Input = JSON.parse('{"usd":1,"per":"call","times":{"__proto__":{"constructor":2},"toString":{"a":3}}}')
  const properties: Input = JSON.parse('{"__proto__":{"type":"string"},"toString":{"enum":["a"]}}')
  const document = { input: { type: 'object', properties } }
  t.same(checkRule(ruleOf(hostile), document), [])
  t.equal(priceOf(hostile, document), 6_000_000)
  t.match(checkRule(ruleOf({ usd: 1, per: 'call', times: { constructor: { a: 1 } } }), document), ['/times/constructor: the model has no such field'])
})

// ------------------------------------------------------------------------------------------------ for random rules and inputs

/** A decimal that is written, and what it is worth in 10^-12. */
const decimal = (most: number): fc.Arbitrary<{ readonly text: string, readonly worth: bigint }> =>
  fc.tuple(fc.nat({ max: most }), fc.stringMatching(/^\d{0,12}$/)).map(([whole, fraction]) => ({
    text: fraction === '' ? String(whole) : `${whole}.${fraction}`,
    worth: BigInt(whole) * 10n ** 12n + BigInt(fraction.padEnd(12, '0'))
  }))

const E12 = 10n ** 12n
const ceilDiv = (value: bigint, by: bigint): bigint => (value + by - 1n) / by
const words = ['a', 'b', 'c']

/** What a field may be told, and what fal may make of it. */
const field = fc.constantFrom('a', 'b', 'c', 'auto', null, undefined)

const perUnit = fc.constantFrom('call', 'image', 'megapixel', 'second')

const scene = fc.record({
  usd: decimal(9),
  per: perUnit,
  times: fc.dictionary(fc.constantFrom('style', 'grade'), fc.dictionary(fc.constantFrom(...words), decimal(5), { minKeys: 1 }), { noNullPrototype: true }),
  plus: fc.dictionary(fc.constantFrom('style', 'extra'), fc.dictionary(fc.constantFrom(...words), fc.record({ usd: decimal(2), per: perUnit }), { minKeys: 1 }), { noNullPrototype: true }),
  most: fc.record({ num_images: fc.integer({ min: 1, max: 9 }), max_images: fc.integer({ min: 1, max: 5 }), duration: fc.integer({ min: 1, max: 20 }), side: fc.integer({ min: 1, max: 3000 }) }),
  nullable: fc.boolean(),
  input: fc.record({
    style: field,
    grade: field,
    extra: field,
    num_images: fc.constantFrom(undefined, null, 1, '1', 'auto'),
    max_images: fc.constantFrom(undefined, null, 1, '1', 'auto'),
    duration: fc.constantFrom(undefined, null, 1, '1', 'auto'),
    image_size: fc.constantFrom(undefined, null, 'auto', 'square', 'square_hd', { width: 1 }, { height: '1' }, { width: 1, height: 1 }, {})
  })
}).filter(({ times, plus }) => [...Object.values(times), ...Object.values(plus)].every(entries => Object.keys(entries).length > 0))

t.test('the bound is never below the price of any way to fill what is open, and is that price when nothing is', async () => {
  const pixels: Readonly<Record<string, readonly [number, number]>> = { square: [512, 512], square_hd: [1024, 1024] }
  fc.assert(fc.property(scene, fc.gen(), ({ usd, per, times, plus, most, nullable, input }, gen) => {
    const maybe = (schema: Input): Input => nullable ? orNull(schema) : schema
    const edge = { type: 'integer', minimum: 1, maximum: most.side }
    const document = documentOf({
      ...Object.fromEntries(['style', 'grade', 'extra'].map(name => [name, maybe({ type: 'string', enum: [...words, 'auto'] })])),
      num_images: maybe(upTo(most.num_images)),
      max_images: maybe(upTo(most.max_images)),
      duration: maybe(upTo(most.duration)),
      image_size: maybe({ anyOf: [{ $ref: '#/$defs/Size' }, { enum: ['square', 'square_hd', 'auto'] }] })
    }, { $defs: { Size: { type: 'object', properties: { width: edge, height: edge } } } })
    const textsOf = (entries: Readonly<Record<string, { readonly text: string }>>): Input => Object.fromEntries(Object.entries(entries).map(([key, { text }]) => [key, text]))
    const rule = ruleOf({
      usd: usd.text,
      per,
      ...Object.keys(times).length > 0 && { times: Object.fromEntries(Object.entries(times).map(([name, entries]) => [name, textsOf(entries)])) },
      ...Object.keys(plus).length > 0 && { plus: Object.fromEntries(Object.entries(plus).map(([name, entries]) => [name, Object.fromEntries(Object.entries(entries).map(([key, extra]) => [key, { usd: extra.usd.text, per: extra.per }]))])) }
    })

    // What fal might do with this input: it chooses freely where something is open.
    let isCertain = true
    const choose = (max: number): number => { isCertain = false; return gen(fc.integer, { min: 1, max }) }
    const pick = <Value>(values: readonly Value[]): Value => { isCertain = false; return gen(() => fc.constantFrom(...values)) }
    const numberIn = (value: unknown, max: number): number => typeof value === 'number' || value === '1' ? Number(value) : choose(max)
    const pictures = BigInt(numberIn(input.num_images, most.num_images)) * BigInt(numberIn(input.max_images, most.max_images))
    const long = BigInt(numberIn(input.duration, most.duration))
    const size = input.image_size
    let area: bigint
    if (typeof size === 'object' && size !== null) {
      const { width, height } = { width: undefined, height: undefined, ...size }
      area = BigInt(numberIn(width, most.side)) * BigInt(numberIn(height, most.side))
    } else {
      const [width, height] = pixels[typeof size === 'string' ? size : 'auto'] ?? [choose(most.side), choose(most.side)]
      area = BigInt(width) * BigInt(height)
    }
    const amounts = { call: 1n, image: pictures, megapixel: ceilDiv(area, 1_000_000n) * pictures, second: long * pictures }

    const chosen = new Map<string, string>()
    const wordIn = (name: 'style' | 'grade' | 'extra'): string => {
      const word = chosen.get(name) ?? (input[name] === undefined || input[name] === null || input[name] === 'auto' ? pick(words) : input[name])
      chosen.set(name, word)
      return word
    }
    let price = ceilDiv(usd.worth, 1_000_000n) * amounts[per]
    let scale = 1n
    for (const name of ['style', 'grade'] as const) {
      const entries = times[name]
      if (entries === undefined) continue
      price *= entries[wordIn(name)]?.worth ?? pick([E12, ...Object.values(entries).map(({ worth }) => worth)])
      scale *= E12
    }
    price = ceilDiv(price, scale)
    for (const name of ['style', 'extra'] as const) {
      const entries = plus[name]
      if (entries === undefined) continue
      const extra = entries[wordIn(name)] ?? pick([null, ...Object.values(entries)])
      if (extra !== null) price += ceilDiv(extra.usd.worth, 1_000_000n) * amounts[extra.per]
    }

    const highest = highestPrice(rule, input, document)
    if (!highest.ok) return highest.kind === 'unbounded' && /the most that one call may/.test(highest.fault)
    // The sides of a picture are rounded up, so that a size is certain only where that makes no difference; these are such sizes.
    return isCertain ? BigInt(highest.price) === price : BigInt(highest.price) >= price
  // A smaller counterexample takes minutes to find, because what fal chooses is drawn along the way.
  }), { numRuns: 2_000, endOnFailure: true })
})

t.test('no JSON at all makes the parser, the check or the bound throw', async () => {
  const piece = fc.constantFrom('type', 'properties', 'anyOf', 'allOf', 'enum', 'const', '$ref', 'maximum', 'items', 'default', 'x-fal', 'num_images', 'max_images', 'image_size', 'duration', 'width', 'height', 'usd', 'per', 'times', 'plus', 'max_usd', 'sizes', 'of', 'count')
  const value = fc.letrec(tie => ({
    any: fc.oneof({ depthSize: 'small' }, fc.constantFrom('integer', 'string', 'object', 'image', 'megapixel', 'second', '#/$defs/A', 'auto', null, true, 0, 1, 0.08, -1, 1e300, '5s'), fc.jsonValue({ maxDepth: 1 }), fc.array(tie('any'), { maxLength: 4 }), fc.dictionary(piece, tie('any'), { maxKeys: 5, noNullPrototype: true }))
  })).any
  const object = fc.dictionary(piece, value, { maxKeys: 6, noNullPrototype: true })
  fc.assert(fc.property(value, fc.constantFrom('call', 'image', 'megapixel', 'second', '1000 characters'), object, object, object, (json, per, properties, definition, input) => {
    const parsed = parsePriceRule(json)
    const document = { input: { type: 'object', properties, $defs: { A: definition } } }
    for (const rule of [parsed.ok ? parsed.rule : null, ruleOf({ usd: 1, per, plus: { width: { auto: { usd: 1, per: 'megapixel' } } } })]) {
      if (rule === null) continue
      checkRule(rule, document)
      const priced = highestPrice(rule, input, document)
      if (priced.ok && !Number.isSafeInteger(priced.price)) return false
    }
    return true
  }), { numRuns: 1_000 })
})

t.test('a document made to be slow is answered, without a bound', async t => {
  const $defs: Record<string, unknown> = {}
  for (let at = 0; at < 60; at++) $defs[`D${at}`] = { anyOf: [{ $ref: `#/$defs/D${at + 1}` }, { $ref: `#/$defs/D${at + 1}` }, { $ref: '#/$defs/D0' }] }
  const document = documentOf({ num_images: { $ref: '#/$defs/D0' } }, { $defs })
  t.match(priceOf({ usd: 1, per: 'image' }, document), /no upper bound/)
  t.equal(checkRule(ruleOf({ usd: 1, per: 'megapixel' }), document).length, 1)
})
