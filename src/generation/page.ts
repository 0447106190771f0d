// How long a page of a list may be. Both stores end it at the same row.

/** Inputs and outputs on one page, so that a store that all tenants share is not held up by one reader's long ones. */
export const MAX_PAGE_BYTES = 262_144

/** Aliases that a page looks at for each row that it may show, and in all: those of a rare status take several pages, none of them long. */
const ALIASES_PER_ROW = 10
const MAX_ALIASES = 50

/** How many aliases one page looks at. */
export function aliasLooks (limit: number): number {
  return Math.min(limit * ALIASES_PER_ROW, MAX_ALIASES)
}

/** The rows that are on a page: the first of those that were found, up to its bytes and at least one, and where the next page begins. */
export function cutPage<One extends { readonly id: string, readonly bytes: number }> (found: readonly One[], nextCursor: string | null): { readonly shown: readonly One[], readonly nextCursor: string | null } {
  let bytes = 0
  const over = found.findIndex((one, place) => (bytes += one.bytes) > MAX_PAGE_BYTES && place > 0)
  const shown = over < 0 ? found : found.slice(0, over)
  return { shown, nextCursor: over < 0 ? nextCursor : shown.at(-1)?.id ?? null }
}
