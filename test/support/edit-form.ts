// Forms with pictures, as OpenAI's libraries send them to `/v1/images/edits`.

import { parseObject, STUDIO_KEY, type Gateway, type Reply } from './gateway.ts'

export const EDITS = '/v1/images/edits'

/** A text, or a file, which is sent under a name of its own. */
export type Part = readonly [name: string, value: string | Uint8Array<ArrayBuffer>]

export interface EditOptions { readonly headers?: Readonly<Record<string, string>>, readonly signal?: AbortSignal }

export async function editWithForm (gateway: Gateway, parts: readonly Part[], { headers = {}, signal }: EditOptions = {}): Promise<Reply> {
  const form = new FormData()
  for (const [name, value] of parts) {
    if (typeof value === 'string') form.append(name, value)
    else form.append(name, new Blob([value]), 'holiday.png')
  }
  const response = await fetch(gateway.url + EDITS, { method: 'POST', headers: { authorization: `Bearer ${STUDIO_KEY}`, ...headers }, body: form, ...(signal === undefined ? {} : { signal }) })
  const text = await response.text()
  return { status: response.status, headers: response.headers, text, json: () => parseObject(text) }
}
