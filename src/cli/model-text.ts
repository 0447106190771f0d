// What the command line shows of a model: what its document says, what it costs, and a call to paste.

import type { Difference } from '../models/difference.ts'
import type { ModelDocument } from '../models/document.ts'
import { takesSeed, type Model } from '../models/model.ts'
import { fieldLinesOf, filePlacesOf, plain, type FieldLine } from '../models/outline.ts'
import { fieldsOf, highestPrice, unpricedValues } from '../models/price-bound.ts'
import { seedKindOf, type SeedKind } from '../models/seed.ts'
import { formatUsd } from '../money.ts'
import { curlLines } from './curl.ts'

const MAX_DESCRIPTION = 300
const MAX_COLUMN = 30

const seeds: Readonly<Record<SeedKind, string>> = {
  'in-and-out': 'taken, and named in the answer: what is asked for with a seed is stored',
  in: 'taken, and not named in the answer: what is asked for with a seed is stored',
  out: 'named in the answer, and not taken: every call is another picture; Falgate-Cache: reuse takes any that is stored',
  none: 'none: every call is another picture; Falgate-Cache: reuse takes any that is stored'
}

/** What is known of a model without its price. */
export function modelLines (model: ModelDocument): readonly string[] {
  const places = filePlacesOf(model)
  const outputs = fieldLinesOf(model.output)
  return [
    `${model.endpointId}${model.title === model.endpointId ? '' : `  ${plain(model.title)}`}${model.category === null ? '' : `  (${plain(model.category)})`}`,
    ...model.isDeprecated ? ['fal says that this model will go.'] : [],
    ...model.description === '' ? [] : [shortened(plain(model.description))],
    '',
    'Input',
    ...table(fieldLinesOf(model.input)),
    '',
    'Output',
    ...outputs.length === 0 ? ['  not typed'] : table(outputs),
    '',
    `Seed    ${seeds[seedKindOf(model)]}`,
    `Files   ${places.length > 0 ? places.join(', ') : model.output === null ? 'where answers of fal usually have them' : 'none is typed'}`
  ]
}

/** What its calls cost by its own rule. */
export function priceLines (model: Model): readonly string[] {
  const dearest = highestPrice(model.rule, {}, model)
  const reading = model.readInput(model.example, { unknownFields: 'leave-out', sentDefaults: fieldsOf(model.rule) })
  const usual = reading.ok ? highestPrice(model.rule, reading.sent, model) : null
  const unpriced = unpricedValues(model.rule, model)
  return [
    `Price   ${dearest.ok ? `at most ${formatUsd(dearest.price)} USD a call: ${plain(dearest.how)}` : plain(dearest.fault)}`,
    ...usual?.ok === true ? [`        its example: ${formatUsd(usual.price)} USD: ${plain(usual.how)}`] : [],
    ...unpriced.map(({ field, values }) => `        ${plain(field)} counts at its dearest for ${values.slice(0, 20).map(plain).join(', ')}`),
    ...model.isOpen ? [] : [`        not confirmed, and no upper bound: nobody can buy it before "falgate model price ${model.endpointId} --accept-price", or another price`]
  ]
}

/** A call to paste. */
export function callLines (model: Model, url: string): readonly string[] {
  return ['Example', '', ...curlLines(`${url}/generate/${model.endpointId}`, '<key>', model.example)]
}

/** The models on offer, a line each. */
export function listLines (models: readonly { readonly model: Model, readonly note: string }[]): readonly string[] {
  const rows = models.map(({ model, note }) => {
    const dearest = highestPrice(model.rule, {}, model)
    return [model.endpointId, dearest.ok ? `up to ${formatUsd(dearest.price)} USD` : 'by its input', takesSeed(model) ? 'seed' : 'no seed', [note, ...model.isOpen ? [] : ['price not confirmed'], ...model.isDeprecated ? ['deprecated'] : []].join(', ')]
  })
  return columns([['Model', 'A call', 'Seed', ''], ...rows], '')
}

/** The differences of one model. */
export function differenceLines (endpointId: string, differences: readonly Difference[]): readonly string[] {
  const signs = { added: '+', removed: '-', changed: '~' } as const
  return [endpointId, ...differences.map(({ kind, place, name, text }) => `  ${signs[kind]} ${place === 'model' ? '' : `${place} `}${name === '*' ? '' : `${plain(name)}: `}${plain(text)}`)]
}

function table (fields: readonly FieldLine[]): readonly string[] {
  return columns(fields.map(({ name, type, isRequired, fallback, isDeprecated }) =>
    [name, [type, ...isRequired ? ['required'] : [], ...isDeprecated ? ['deprecated'] : []].join(', ') + (fallback === null ? '' : ` = ${fallback}`)]), '  ')
}

/** Columns side by side; a long cell pushes what is behind it. */
function columns (rows: readonly (readonly string[])[], indent: string): readonly string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map(row => row[column]?.length ?? 0).map(width => column === 0 && indent !== '' ? Math.min(width, MAX_COLUMN) : width)))
  return rows.map(row => indent + row.map((cell, column) => column === row.length - 1 ? cell : cell.padEnd(widths[column] ?? 0)).join('  ').trimEnd())
}

function shortened (text: string): string {
  return text.length > MAX_DESCRIPTION ? text.slice(0, MAX_DESCRIPTION - 1) + '…' : text
}
