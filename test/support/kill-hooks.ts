// Who is told by gateways that die: a receiver with TLS, by its name and behind an egress proxy, as in a deployment.

import { writeFileSync } from 'node:fs'
import type { ServerResponse } from 'node:http'
import { join } from 'node:path'
import { Webhook } from 'standardwebhooks'
import type { Test } from 'tap'
import { makeCertificate } from './fal/certificate.ts'
import { parseObject } from './gateway.ts'
import { signatureOf, startEgress, startReceiver } from './receiver.ts'
import { workFolder } from './world.ts'

/** What was told, once it is certain who signed it. */
export interface Told {
  /** The same for each repeat of one event. */
  readonly id: string
  /** `succeeded` of `generation.succeeded`. */
  readonly status: string
  readonly generation: string
}

export interface HookReceiver {
  /** The environment of the gateways that send. */
  readonly env: Readonly<Record<string, string>>
  /** What a tenant has to have in the tenants file. */
  readonly rights: Readonly<Record<string, unknown>>
  /** An address of its own for each of a tenant's callers. */
  readonly addressOf: (tenant: string, caller: string) => string
  /** What the next try meets, from any process. Resolves when it has come. */
  readonly next: (meets: 'no answer' | 'an error') => Promise<void>
  /** What was told there so far, in order. */
  readonly toldAt: (tenant: string, caller: string) => readonly Told[]
}

const SECRET = `whsec_${Buffer.alloc(32, 'team').toString('base64')}`
const HOST = 'hooks.example'

export async function startHookReceiver (t: Test): Promise<HookReceiver> {
  const folder = workFolder(t)
  const secretFile = join(folder, 'secrets')
  writeFileSync(secretFile, SECRET)
  const certificate = makeCertificate(t, folder, [HOST])
  const odd: ((response: ServerResponse) => void)[] = []
  const receiver = await startReceiver(t, response => {
    const answer = odd.shift()
    if (answer === undefined) response.writeHead(204).end()
    else answer(response)
  }, certificate)
  const egress = await startEgress(t, { [`${HOST}:443`]: Number(new URL(receiver.url).port) })
  const addressOf = (tenant: string, caller: string): string => `https://${HOST}/${tenant}/${caller}`

  return {
    env: { HTTPS_PROXY: egress.url, NODE_EXTRA_CA_CERTS: certificate.caFile },
    rights: { webhooks: [HOST], webhookSecretFile: secretFile },
    addressOf,
    next: async meets => await new Promise(resolve => {
      odd.push(response => {
        if (meets === 'an error') response.writeHead(500).end()
        resolve()
      })
    }),
    toldAt: (tenant, caller) => receiver.received.filter(({ url }) => url === new URL(addressOf(tenant, caller)).pathname).map(hook => {
      const { type, data } = parseObject(JSON.stringify(new Webhook(SECRET).verify(hook.raw, signatureOf(hook))))
      return { id: String(hook.headers['webhook-id']), status: String(type).replace('generation.', ''), generation: String(parseObject(JSON.stringify(data))['id']) }
    })
  }
}
