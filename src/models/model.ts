// What a model is to the gateway: data. A second model is a second file beside this one and a place in the list of `built-in.ts`.

import type { TObject } from '@sinclair/typebox'
import type { MicroUsd } from '../money.ts'

/** A model that can be bought. Everything the gateway knows about it stands in its file. */
export interface Model {
  /** What users write, such as `fal-ai/imagen4/preview/ultra`. */
  readonly endpointId: string
  readonly title: string
  readonly description: string
  /** Raised by hand when a field's meaning changes; part of the cache key. */
  readonly schemaVersion: number
  /** Type, validation and documentation of the input. Every property has a default or is required, except `seed`. Without a `seed` nothing is stored. */
  readonly input: TObject
  /** Type and documentation of the output; what is `Optional` in it may be absent. Pictures are in `images`. */
  readonly output: TObject
  /** The highest price of one call, for a reservation; the tenants file may state others. */
  readonly price: MicroUsd
  /** The most units that fal bills for one call, in `x-fal-billable-units`; `price` is that of all of them. */
  readonly units: number
  /** The most files that one call makes. */
  readonly files: number
  /** The pictures that an input asks for: one size in pixels for each. */
  readonly pictures: (input: ModelInput) => readonly PixelSize[]
  /** An input to try it with, as a start shows it. */
  readonly example: ModelInput
}

/** The size of a picture. */
export interface PixelSize { readonly width: number, readonly height: number }

/** A validated input. `seed` is approximate when it is not a safe integer; its digits travel beside it. */
export type ModelInput = Readonly<Record<string, unknown>>
