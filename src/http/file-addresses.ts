// Addresses of files in outputs, as the caller who is answered can use them: of those that the gateway makes itself, with its built-in sandbox, and of those that it stores.

import type { FastifyRequest } from 'fastify'
import type { Generation } from '../generation/generation.ts'
import { servedOutput, type Addresses, type Noted } from '../generation/served-output.ts'

/** What is put into the outputs that a caller is sent; `null`: outputs are sent as they are stored. */
export type FileAddresses = ((request: FastifyRequest) => Addresses) | null

/** An output as this caller is sent it. */
export function outputFor (request: FastifyRequest, output: string | Buffer, noted: Noted, fileAddresses: FileAddresses): string | Buffer {
  return fileAddresses === null || isBare(noted) ? output : servedOutput(output, noted, fileAddresses(request))
}

/** A row with its output as this caller is sent it. */
export function rowFor<Row extends Noted & Pick<Generation, 'output'>> (request: FastifyRequest, row: Row, fileAddresses: FileAddresses): Row {
  return fileAddresses === null || row.output === null || isBare(row) ? row : rowWith(row, fileAddresses(request))
}

/** A row with its output as somebody is sent it to whom these addresses are given. */
export function rowWith<Row extends Noted & Pick<Generation, 'output'>> (row: Row, addresses: Addresses | null): Row {
  return addresses === null || row.output === null ? row : { ...row, output: String(servedOutput(row.output, row, addresses)) }
}

function isBare ({ bases, media }: Noted): boolean {
  return bases === null && media === null
}
