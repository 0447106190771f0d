// How this process comes to the files of outputs: those of fal's CDN and of hosts that operators name, and those of an upstream that is not fal itself.

import type { Config } from '../config.ts'
import { createAddressRule, type AddressRule, type WayToFile } from '../media/address-rule.ts'
import { lookUpPublic } from '../public-address.ts'
import { createConnector, type Connector } from '../upstream/way.ts'

/** What addresses of files begin with, and where this process finds these. */
export interface OwnBase { readonly told: string, readonly reached: string }

export interface WayToFiles {
  readonly allowed: AddressRule
  readonly connect: Readonly<Record<WayToFile, Connector>>
  /** Where this process finds what an output has this address of. */
  readonly reached: (address: string) => string
}

const CONNECT_MS = 10_000

/** `ownBases`: the base of an upstream that is not fal's own, and of the sandbox here, as addresses in outputs have it and as this process reaches it. */
export function createWayToFiles ({ media, proxy }: Config, ownBases: () => readonly OwnBase[]): WayToFiles {
  return {
    allowed: createAddressRule({ hosts: media?.hosts ?? [], ownOrigins: () => ownBases().map(({ reached }) => new URL(reached).origin) }),
    connect: {
      // Through a proxy it is the proxy that looks names up, and the list of hosts alone decides.
      public: createConnector({ proxy, timeoutMs: CONNECT_MS, lookup: lookUpPublic }),
      ours: createConnector({ proxy, timeoutMs: CONNECT_MS })
    },
    reached: address => {
      const own = ownBases().find(({ told }) => address.startsWith(`${told}/`))
      return own === undefined ? address : own.reached + address.slice(own.told.length)
    }
  }
}
