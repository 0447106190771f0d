// Rules and dashboard name what is counted, by its labels; every alert is explained and tried. `npm run test:world -- ops` runs the programs themselves.

import t from 'tap'
import { metrics } from '../support/docs.ts'
import { namesIn, readDashboard, readRules, readRuleTests } from '../support/monitoring.ts'
import { anchorsOf, pageAt } from '../support/pages.ts'

const { recordings, alerts } = readRules()
const { panels, variables } = readDashboard()

/** Labels of every series that Prometheus scrapes. */
const ofScrapes = ['instance', 'job']

/** Metrics by name, with their labels; a histogram has three names. `null`: those of Node and Prometheus, which the world test meets. */
const known = new Map<string, readonly string[] | null>([
  ...metrics().flatMap(({ name, type, labels }) => type === 'histogram' ? [[`${name}_bucket`, [...labels, 'le']], [`${name}_count`, labels], [`${name}_sum`, labels]] as const : [[name, labels]] as const),
  ...recordings.map(({ record }) => [record, record.startsWith('falgate:') ? [] : [record.split(':')[0] ?? '']] as const),
  ...['up', 'ALERTS', 'process_start_time_seconds', 'process_cpu_seconds_total', 'process_resident_memory_bytes', 'nodejs_eventloop_lag_p99_seconds'].map(name => [name, null] as const)
])

/** What is wrong with the names in an expression. */
function faultsIn (expr: string, legend = ''): readonly string[] {
  const { metrics, groupedBy } = namesIn(expr)
  const labelsOf = (name: string): readonly string[] | null => known.get(name) ?? null
  const asked = [...groupedBy, ...[...legend.matchAll(/\{\{(\w+)\}\}/g)].map(([, label = '']) => label)]
  const isAnyKnown = (label: string): boolean => ofScrapes.includes(label) || metrics.some(({ name }) => labelsOf(name) === null || labelsOf(name)?.includes(label) === true)
  return [
    ...metrics.length === 0 ? ['it names nothing'] : [],
    ...metrics.filter(({ name }) => !known.has(name)).map(({ name }) => `there is no ${name}`),
    ...metrics.flatMap(({ name, labels }) => labels.filter(label => ![...labelsOf(name) ?? [label], ...ofScrapes].includes(label)).map(label => `${name} has no ${label}`)),
    ...asked.filter(label => !isAnyKnown(label)).map(label => `nothing has ${label}`)
  ]
}

t.test('what is not counted, or not by that label, is found', async t => {
  t.same(faultsIn('sum(rate(falgate_answer_total[5m]))'), ['there is no falgate_answer_total'])
  t.same(faultsIn('sum by (code) (rate(falgate_answers_total{model!="x"}[5m] offset 1d))', '{{tenant}}'), ['falgate_answers_total has no model', 'nothing has code'])
  t.same(faultsIn('sum(up) and falgate_slots > 3 or x:y:z', '{{nobody}}'), ['there is no x:y:z'])
  t.same(faultsIn('1 > 0'), ['it names nothing'])
})

t.test('every rule names metrics that there are, by labels that they have', async t => {
  t.ok(recordings.length > 3 && alerts.length > 25, 'they were found')
  for (const { expr, ...rule } of [...recordings, ...alerts]) t.same(faultsIn(expr), [], 'alert' in rule ? rule.alert : rule.record)
  for (const series of readRuleTests().series) t.same(faultsIn(series), [], series)
})

t.test('every panel of the dashboard names metrics that there are, by labels that they have, and lies on no other', async t => {
  const queries = panels.flatMap(({ title, targets = [] }) => targets.map(({ expr, legendFormat }) => ({ title, expr, legendFormat })))
  t.ok(queries.length > 40, 'they were found')
  for (const { title, expr, legendFormat } of queries) t.same(faultsIn(expr.replaceAll(/\$__\w+/g, '5m'), legendFormat), [], title)
  const named = new Set(variables.flatMap(query => query.match(/falgate_\w+/g) ?? []))
  t.same([...named].filter(name => !known.has(name)), [], 'and so do its variables')
  const places = panels.flatMap(({ title, gridPos: { x, y, w, h } }) => Array.from({ length: w * h }, (_, place) => `${x + place % w},${y + Math.floor(place / w)} ${title}`))
  t.equal(new Set(places.map(place => place.split(' ')[0])).size, places.length)
  t.ok(panels.every(({ gridPos: { x, w } }) => x + w <= 24))
})

t.test('every metric of falgate\'s own is in the dashboard', async t => {
  const shown = panels.flatMap(({ targets = [] }) => targets).map(({ expr }) => expr).join('\n')
  t.same(metrics().map(({ name }) => name).filter(name => !shown.includes(name)), [])
})

t.test('every alert has its heading in docs/operations.md with all that is told there, and none is told that there is not', async t => {
  const page = pageAt('docs/operations.md')
  const entries = new Map(page.split(/^#{2,3} /m).filter(part => part.startsWith('Falgate')).map(part => [part.split('\n')[0] ?? '', part]))
  t.same([...entries.keys()], alerts.map(({ alert }) => alert), 'in the same order')
  for (const { alert, annotations: { runbook } } of alerts) {
    const [file, anchor = ''] = runbook.split('#')
    t.equal(`${file}#${anchor}`, `docs/operations.md#${alert.toLowerCase()}`)
    t.ok(anchorsOf(page).has(anchor), alert)
    t.same([...entries.get(alert)?.matchAll(/^\* \*\*([\w ]+)\*\* \S/gm) ?? []].map(([, what]) => what), ['Means', 'Look at', 'Do', 'Do not'], alert)
  }
})

t.test('every alert has a case in which it fires, and one in which it does not', async t => {
  const { cases } = readRuleTests()
  t.same(cases.map(({ alertname }) => alertname).filter(name => !alerts.some(({ alert }) => alert === name)), [])
  for (const { alert } of alerts) {
    const own = cases.filter(({ alertname }) => alertname === alert)
    t.ok(own.some(({ exp_alerts: expected }) => expected.length > 0) && own.some(({ exp_alerts: expected }) => expected.length === 0), alert)
  }
})
