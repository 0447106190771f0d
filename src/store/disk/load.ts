// From the records on disk to the state of a ledger: the last one of each key counts. No rule is run, so that other settings, another version or another clock
// change nothing of what was.

import { listOf, textOf } from '../../generation/fields.ts'
import { isFinal, tidyBooks } from '../memory/books.ts'
import type { Entry } from '../memory/entry.ts'
import { entryOf, formIn, PackedRow, readForm, type RowForm, type WrittenForm } from '../memory/packed-row.ts'
import { enter, indexRest, leave } from '../memory/rows.ts'
import type { State } from '../memory/state.ts'
import type { Place } from '../memory/texts.ts'
import { putFigures } from './figures.ts'
import type { Lines } from './lines.ts'
import { entryHead, listedRow, nameRecord, readRecord } from './records.ts'
import { lineIn, putBack, type Image } from './tables.ts'
import type { Texts } from './texts.ts'

export interface Loading {
  /** A record of a snapshot is read at once, since that has each entry as good as once. */
  readonly take: (record: string, places: readonly Place[], from: 'snapshot' | 'journal') => void
  /** Everything was taken: what follows from it is made, and what ended with the process that wrote it has ended. */
  readonly finish: (readInput: (place: Place, id: string) => Promise<string | null>) => Promise<void>
}

/** `onTime` is told the latest moment that the ledger has seen. */
export function createLoading (state: State, texts: Texts, lines: Lines, onTime: (nowMs: number) => void): Loading {
  /** The last record of each entry. What came before it is not even read. */
  const last = new Map<string, string>()
  /** What is still looked after, so that more than the row decides what follows from it. */
  const open = new Set<string>()
  /** The forms of the snapshot's rows by their numbers; `null`: this version has another order of fields. */
  const forms = new Map<number, { readonly written: WrittenForm, readonly form: RowForm | null }>()
  let isAllFound = false

  function takeNow (record: string, places: readonly Place[]): void {
    const said = readRecord(record, places)
    switch (said.kind) {
      case 'figures': return onTime(putFigures(state, said.image))
      case 'text': return texts.found(said.owner, said.place)
      case 'form': {
        forms.set(said.number, { written: said.form, form: formIn(said.form) })
        return
      }
      case 'row': throw new Error('A row of a snapshot stands elsewhere.')
      case 'lines': return lines.found(said.chunk)
      case 'entry': {
        const { table, key, image } = said
        if (table === 'journal') return takeLine(key, image)
        if (table === 'rows') return takeRow(key, image, record)
        const put = putBack.get(table)
        if (put === undefined) throw new Error(`The table ${JSON.stringify(table)} is not known to this version of falgate.`)
        return put(state, key, image)
      }
    }
  }

  function takeLine (cursor: string, image: Image | null): void {
    // A checkpoint lays lines aside that are written down after it has begun, too.
    if (image !== null && !lines.isLaidAside(cursor)) state.journal.push(lineIn(image))
  }

  function takeRow (id: string, image: Image | null, record: string): void {
    if (!isAllFound && last.size > 0) last.delete(headOf(id, record))
    takeAway(id)
    if (image === null) return
    const isInputElsewhere = image['hasInput'] !== undefined && image['input'] === undefined
    const isOutputElsewhere = image['hasOutput'] !== undefined && image['output'] === undefined
    if ((isInputElsewhere || isOutputElsewhere) && !isAllFound) {
      last.set(headOf(id, record), record)
      return
    }
    const names = Object.keys(image)
    const written = Object.values(image)
    if (isInputElsewhere) {
      names.push('input')
      written.push(texts.referenceOf('i', id))
    }
    if (isOutputElsewhere) {
      names.push('output')
      written.push(texts.referenceOf('o', id))
    }
    const { form, own } = readForm(names, written)
    putRow(id, form, own, PackedRow.with(form, own), image['leads'] ?? '')
  }

  /** `packed`: the same row, if it can be packed. */
  function putRow (id: string, form: RowForm, own: readonly string[], packed: PackedRow | null, leads: string): void {
    const entry = packed?.glance(id) ?? entryOf(form, id, own)
    if (!isFinal(entry.row) || entry.hidden.askAtMs !== null) {
      const whole = entryOf(form, id, own)
      state.rows.set(id, whole)
      state.names.putBack(whole, leads, false)
      open.add(id)
      return
    }
    if (packed === null) state.rows.set(id, entry)
    else state.rows.put(id, packed)
    state.names.putBack(entry, packed === null ? leads : leads + ledHere(entry), packed !== null)
    if (isAllFound && packed !== null) state.names.fold(entry)
    enter(state, entry, packed !== null)
  }

  /** The letters of those of its own names that the journal says lead to this row, and of which nothing else is known. */
  function ledHere (entry: Entry): string {
    let letters = ''
    for (const own of isAllFound ? state.names.ownOf(entry) : []) {
      const { head, record } = nameRecord(own)
      if (last.get(head) !== record || state.names.whole(own.name) !== undefined) continue
      last.delete(head)
      letters += own.letter
    }
    return letters
  }

  /** A row of a snapshot that was packed there, too: it has ended for good, and all of it stands in its record. */
  function takeListed ({ id, form: number, leads, list }: NonNullable<ReturnType<typeof listedRow>>): void {
    const found = forms.get(number)
    if (found === undefined) throw new Error(`The form ${number} of a row is missing.`)
    takeAway(id)
    const { written, form } = found
    if (form !== null) {
      const packed = PackedRow.listed(form, list)
      state.rows.put(id, packed)
      const entry = packed.glance(id)
      state.names.putBack(entry, leads, true)
      enter(state, entry, true)
      return
    }
    const { own } = written
    const texts = listOf(JSON.parse(`["${list}"]`)).map(textOf)
    if (texts.length !== own.length) throw new Error('A row has not as many texts as fields.')
    const read = readForm([...own, ...Object.keys(written.shared)], [...texts, ...Object.values(written.shared)])
    putRow(id, read.form, read.own, PackedRow.with(read.form, read.own), leads)
  }

  /** A later record of the row takes the place of the one that was taken. */
  function takeAway (id: string): void {
    const entry = state.rows.has(id) ? state.rows.get(id) : undefined
    if (entry === undefined) return
    texts.had(entry)
    if (!open.delete(id)) leave(state, entry)
    state.rows.delete(id)
  }

  return {
    take: (record, places, from) => {
      const listed = from === 'snapshot' ? listedRow(record) : null
      if (listed !== null) return takeListed(listed)
      const head = from === 'snapshot' ? null : entryHead(record)
      if (head === null) takeNow(record, places)
      else last.set(head, record)
    },
    finish: async readInput => {
      isAllFound = true
      // Rows first: a name that leads to the row that has it comes with that.
      for (const areRows of [true, false]) for (const [head, record] of last) if (head.startsWith(ROW) === areRows) takeNow(record, NOWHERE)
      last.clear()
      // Names that came behind their rows.
      for (const name of state.names.unfolded()) {
        const id = state.names.whole(name)?.value.id
        const entry = id === undefined || !state.rows.isPacked(id) ? undefined : state.rows.look(id)
        if (entry !== undefined) state.names.fold(entry)
      }
      const looked = [...open].flatMap(id => state.rows.get(id) ?? [])
      await texts.putBack(looked.filter(({ row }) => !isFinal(row)), readInput)
      for (const entry of looked) {
        // Nobody looks after it any more, so it is looked after at once.
        if (!isFinal(entry.row)) entry.hidden = { ...entry.hidden, leaseUntilMs: state.now() }
        enter(state, entry)
      }
      indexRest(state)
      tidyBooks(state)
    }
  }
}

/** Only records of texts name places. */
const NOWHERE: readonly Place[] = []

/** What the head of a row's record begins with. */
const ROW = '["rows","'

function headOf (id: string, record: string): string {
  return entryHead(record) ?? ROW + id
}
