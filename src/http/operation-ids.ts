// The names of operations in the OpenAPI document: client generators make functions of them.

/** What the documents call the part of an address that is an endpoint id. */
export const ENDPOINT_ID = 'endpoint_id'

/** An endpoint id as a part of the name of an operation. Others may have the same one: see {@link makeDistinct}. */
export function nameOf (endpointId: string): string {
  return endpointId.replaceAll(/\W+/g, '_')
}

const methods = ['get', 'put', 'post', 'delete', 'patch'] as const

type Paths = Readonly<Record<string, { readonly [Method in typeof methods[number]]?: { operationId?: string } } | undefined>>

/** Numbers the operations whose name another one has before them. Those of the models that were offered first keep theirs. */
export function makeDistinct (paths: Paths): void {
  const taken = new Set<string>()
  for (const item of Object.values(paths)) {
    for (const method of methods) {
      const operation = item?.[method]
      if (operation?.operationId === undefined) continue
      const name = operation.operationId
      for (let number = 2; taken.has(operation.operationId); number++) operation.operationId = `${name}_${number}`
      taken.add(operation.operationId)
    }
  }
}
