// Whose money it is that a ledger accounts for, and the sentences for a process that meets somebody else's.

/**
 * What a process buys from, as far as money goes: the sandbox or fal, and the operator's name for the account there. Host and key are no part of it, so that a
 * key may be rotated and fal be reached in another way.
 */
export interface UpstreamAccount { readonly kind: 'sandbox' | 'fal', readonly name: string }

/** An account that a process has the key of. `slots`: how many generations may be at fal with it at once, all replicas together; left out, as many as a claim says. */
export interface OwnAccount extends UpstreamAccount { readonly slots?: number | undefined }

/** As ledgers and rows keep it. */
export function accountText ({ kind, name }: UpstreamAccount): string {
  return `${kind} ${name}`
}

/** The operator's name in such a text. */
export function accountNameIn (text: string): string {
  return text.slice(text.indexOf(' ') + 1)
}

/** What a ledger counts as that was filled before ledgers said whose they are. */
export const UNMARKED_LEDGER = 'fal main'

/** What is told of a ledger that is empty, and was another account's when this process met it before: it is not for this process to take. */
export const NOBODYS_LEDGER = ''

/** What stands between the accounts of a ledger that has several, where they are told in one text. */
export const BETWEEN_ACCOUNTS = '\n'

/**
 * What stands before the first account of a ledger that is nobody's at the moment: it is being moved away (`leaving`), it was (`moved`), or it is still being
 * imported (`arriving`, with a run in the account's place). No account begins so, so every process takes it for a foreign one.
 */
export const movingWords = ['leaving', 'moved', 'arriving'] as const

export interface MovingMark { readonly word: typeof movingWords[number], readonly upstream: string }

/** The mark that stands where ledgers have their first account; `null`: it is an account. */
export function movingMarkIn (text: string): MovingMark | null {
  const [first, ...rest] = text.split(BETWEEN_ACCOUNTS, 1).join('').split(' ')
  const word = movingWords.find(word => word === first)
  return word === undefined ? null : { word, upstream: rest.join(' ') }
}

/** Why no gateway works on the ledger in `place`, and what to do. */
export function movingSentence ({ word }: MovingMark, place: string): string {
  switch (word) {
    case 'leaving': return `${place}: an export --move of the ledger there was begun and not finished, so nothing is bought; run it again, or if its file was not imported anywhere take the ledger back with falgate ledger take-back`
    case 'moved': return `${place}: the ledger there was moved away with falgate export --move, so nothing is bought; what was bought since is in the ledger that its file was imported into. Only if it was imported nowhere, take this one back with falgate ledger take-back`
    case 'arriving': return `${place}: the import of a ledger there was not finished, so nothing is bought; run falgate import again`
  }
}

/** That the ledger in `place` is that of other accounts (`ledger`, as ledgers tell them), and what to do. `elsewhere`: what says where another ledger is. */
export function foreignLedgerSentence (ledger: string, own: readonly UpstreamAccount[], place: string, elsewhere = 'REDIS_NAMESPACE or Redis'): string {
  const mark = movingMarkIn(ledger)
  if (mark !== null) return movingSentence(mark, place)
  if (ledger === NOBODYS_LEDGER) return `${place}: the ledger there was another account's and is empty now, so nothing is bought; start this process again if the ledger is to be its own`
  const theirs = ledger.split(BETWEEN_ACCOUNTS)
  const kind = theirs[0]?.split(' ', 1)[0] ?? ''
  const names = theirs.map(accountNameIn)
  const ownKind = own[0]?.kind ?? 'fal'
  const fact = `${place}: the ledger there is that of ${described(kind, names)}, and this process is set to ${described(ownKind, own.map(({ name }) => name))}, so nothing is bought and nothing of it touched`
  if (kind === ownKind) return `${fact}: set FAL_ACCOUNT=${names[0]} if that is the account, or take another ${elsewhere}`
  if (kind === 'fal') return `${fact}: set FAL_KEY or FAL_KEY_FILE if this is to be the real gateway; a sandbox takes another ${elsewhere}`
  return `${fact}: going from trial to real takes another ${elsewhere}, because play money and drawn pictures stay where they are`
}

function described (kind: string, names: readonly string[]): string {
  return `${kind === 'sandbox' ? 'the sandbox' : kind}, account${names.length === 1 ? '' : 's'} ${names.join(' and ')}`
}
