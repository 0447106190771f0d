// What a start tells: the call to paste is one that the default model takes.

import t from 'tap'
import { bannerText } from '../../src/cli/banner.ts'
import { builtInModels } from '../../src/models/built-in.ts'
import type { Model } from '../../src/models/model.ts'
import { configOf } from '../support/gateway.ts'
import { poster } from '../support/poster.ts'

function callOf (model: Model): string {
  const text = bannerText({ config: configOf(), accounts: [], model, version: '0.0.0', url: 'http://127.0.0.1:8080', seconds: 0.5 })
  return text.trimEnd().split('\n').at(-1) ?? ''
}

t.test('the call to paste sends the example of the default model, quoted for a shell', async t => {
  t.equal(callOf(builtInModels.default), '    -d \'{"prompt": "A red bicycle leaning on a blue wall", "seed": 42}\'')
  t.equal(callOf(poster), '    -d \'{"prompt": "It\'\\\'\'s a fair", "paper": "glossy"}\'')
})

t.test('where files of results are kept is told, where they are', async t => {
  const told = (env: Readonly<Record<string, string>>): string => bannerText({ config: configOf(env), accounts: [], model: builtInModels.default, version: '0.0.0', url: 'http://127.0.0.1:8080', seconds: 0.5 })
  t.notMatch(told({}), /Files/)
  t.match(told({ MEDIA_DIR: '/var/lib/media' }), /^ {2}Files {5}of results are kept in \/var\/lib\/media\.$/m)
  t.match(told({ MEDIA_URL: 's3://pictures/falgate?region=eu-central-1', MEDIA_KEY_FILE: 'keys', MEDIA_CREDENTIALS_FILE: 'keys' }), /^ {2}Files {5}of results are kept in the bucket pictures\.$/m)
})
