// Names: which requests mean the same picture.

import t from 'tap'
import { canonicalJson, learnedName, resultName, reuseName, termsAtEnd } from '../../src/generation/key.ts'
import type { Model } from '../../src/models/model.ts'
import { noTerms } from '../support/admission.ts'

const model = { endpointId: 'print-shop/press/poster', cacheVersion: 3, seed: 'in-and-out' } as const

function nameOf (input: Readonly<Record<string, unknown>>, group = 'group', named: Pick<Model, 'endpointId' | 'cacheVersion' | 'seed'> = model): string {
  return reuseName(group, named, input)
}

t.test('for reuse an input is the same with any seed and without one', async t => {
  const name = nameOf({ prompt: 'a fair' })
  for (const seed of [0, 7, -1, 196619188014358660, Number.MAX_VALUE]) t.equal(nameOf({ prompt: 'a fair', seed }), name, String(seed))
  t.equal(nameOf({ seed: null, prompt: 'a fair' }), name, 'a seed that is null is none')
})

t.test('it is another with another text, group, model or cache version, and is no name of a seeded input', async t => {
  const names = [
    nameOf({ prompt: 'a fair' }),
    nameOf({ prompt: 'another fair' }),
    nameOf({ prompt: 'a fair', copies: 1 }),
    nameOf({ prompt: 'a fair' }, 'another'),
    nameOf({ prompt: 'a fair' }, 'group', { ...model, endpointId: 'print-shop/press' }),
    nameOf({ prompt: 'a fair' }, 'group', { ...model, cacheVersion: 4 }),
    resultName('group', model, canonicalJson({ prompt: 'a fair' }, null))
  ]
  t.equal(new Set(names).size, names.length)
})

t.test('what is called a seed elsewhere is part of the input', async t => {
  t.not(nameOf({ prompt: 'a fair', parts: [{ seed: 1 }] }), nameOf({ prompt: 'a fair', parts: [{ seed: 2 }] }))
  t.not(nameOf({ prompt: '","seed":1' }), nameOf({ prompt: '","seed":2' }))
  t.equal(nameOf({ prompt: '","seed":1', seed: 5 }), nameOf({ prompt: '","seed":1' }))
})

t.test('of a model that takes no seed, what is called one is part of the input', async t => {
  const seedless = { ...model, seed: 'none' } as const
  t.not(nameOf({ prompt: 'a fair', seed: 'oak' }, 'group', seedless), nameOf({ prompt: 'a fair', seed: 'elm' }, 'group', seedless))
})

t.test('a success that was asked for with reuse is also found under the seed of its answer, when it is put back', async t => {
  const row = { phase: 'succeeded', stored: true, model: model.endpointId, cacheGroup: 'group', input: '{"prompt":"a fair"}', seed: '42' } as const
  const asked = { ...noTerms, cacheName: nameOf({ prompt: 'a fair' }), reuseName: nameOf({ prompt: 'a fair' }) }
  const learned = learnedName(row, '42', () => model.cacheVersion)
  t.type(learned, 'string')
  t.same(termsAtEnd(row, asked, () => model.cacheVersion), { ...asked, learnedName: learned })
  const seeded = { ...asked, cacheName: 'of its own seed' }
  t.equal(termsAtEnd(row, seeded, () => model.cacheVersion), seeded)
})
