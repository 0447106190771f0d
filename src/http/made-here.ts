// Files that the gateway makes itself, with its built-in sandbox: their addresses are made for the caller who is answered.

import type { FastifyRequest } from 'fastify'
import { withBase } from '../generation/bases.ts'
import type { Generation } from '../generation/generation.ts'

/** The base of such files, as the caller of a request reaches the gateway; `null`: it makes none, and outputs are sent as they are stored. */
export type FilesBase = ((request: FastifyRequest) => string) | null

/** An output as this caller is sent it. */
export function outputFor (request: FastifyRequest, output: string | Buffer, bases: Generation['bases'], filesBase: FilesBase): string | Buffer {
  return bases === null || filesBase === null ? output : withBase(output, bases, filesBase(request))
}

/** A row with its output as this caller is sent it. */
export function rowFor<Row extends Pick<Generation, 'output' | 'bases'>> (request: FastifyRequest, row: Row, filesBase: FilesBase): Row {
  return row.bases === null || filesBase === null || row.output === null ? row : { ...row, output: String(withBase(row.output, row.bases, filesBase(request))) }
}
