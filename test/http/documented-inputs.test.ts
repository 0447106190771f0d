// The documents' schemas of inputs say what the doors take: no generated client refuses what the wire would have taken.

import { Ajv2020 } from 'ajv/dist/2020.js'
import t from 'tap'
import { imagen4Ultra } from '../../src/models/imagen4-ultra.ts'
import { createModels } from '../../src/models/models.ts'
import { isObject } from '../../src/schema.ts'
import { orNull, promptAnd } from '../support/fal-documents.ts'
import { startGateway } from '../support/gateway.ts'
import { documentModel } from '../support/model-files.ts'

const painter = documentModel({
  endpointId: 'acme/painter',
  input: promptAnd({
    seed: { type: 'integer' },
    style: { $ref: '#/components/schemas/Style' },
    strength: { type: 'number', default: 0.5, description: 'How strong.' },
    frames: orNull({ type: 'integer' })
  }),
  components: { Style: { type: 'string', enum: ['oil', 'ink'] } }
})
const models = createModels([imagen4Ultra], { added: [painter] })

const bodies = [
  { prompt: 'a fair' },
  { prompt: 'a fair', nope: 1 },
  { prompt: 'a fair', seed: null },
  { prompt: 'a fair', seed: 4_294_967_296 },
  { prompt: 'a fair', style: null, strength: null, frames: null },
  { prompt: 'a fair', style: 'ink', strength: 1 }
]

/** The schema at a place of a document, with everything that it refers to. */
function schemaAt (document: Record<string, unknown>, path: string): Record<string, unknown> {
  const schema: unknown = ['paths', path, 'post', 'requestBody', 'content', 'application/json', 'schema'].reduce<unknown>((part, name) => isObject(part) ? part[name] : undefined, document)
  return { ...Object(schema), components: document['components'] }
}

t.test('what a door takes fits the schema that the documents have of it', async t => {
  const gateway = await startGateway(t, { models })
  for (const { endpointId } of models.all) {
    const document = (await gateway.get(`/models/${endpointId}/openapi.json`)).json()
    for (const path of [`/generate/${endpointId}`, `/fal/${endpointId}`, `/fal/queue/${endpointId}`]) {
      const check = new Ajv2020({ strict: false, validateFormats: false, logger: false }).compile(schemaAt(document, path))
      for (const body of bodies) {
        const { status } = await gateway.generate(body, { path })
        // A native door takes nulls that a model's own document has lost; it is not documented, because there a field that says nothing is a mistake.
        const isTold = !path.startsWith('/generate') || !Object.values(body).includes(null)
        const isAsDocumented = status !== 200 || check(body) || !isTold
        t.ok(isAsDocumented, `${path} ${JSON.stringify(body)}: ${status}`)
      }
    }
  }
})

t.test('the operations that name no model take those of the default one, by the same schemas', async t => {
  const gateway = await startGateway(t, { models })
  const document = (await gateway.get('/openapi.json')).json()
  t.same(schemaAt(document, '/generate'), schemaAt(document, `/generate/${imagen4Ultra.endpointId}`))
  t.match(schemaAt(document, '/generations'), { type: 'object', additionalProperties: true }, 'the query may name any')
  const own = (await gateway.get(`/models/${painter.endpointId}/openapi.json`)).json()
  t.same(schemaAt(own, '/generations'), schemaAt(own, `/generate/${painter.endpointId}`))
  t.match(own['paths'], { '/generations': { post: { operationId: 'create_generation_acme_painter', parameters: [{ name: 'model', required: true, schema: { enum: [painter.endpointId] } }] } } })
})
