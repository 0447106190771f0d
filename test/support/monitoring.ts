// The rules of Prometheus and the dashboard of Grafana below `docker`, as their programs read them.

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Type, type Static } from '@sinclair/typebox'
import { parseDocument } from 'yaml'
import { guardOf, misfitsOf } from '../../src/schema.ts'
import { projectDir } from './paths.ts'

const Recording = Type.Object({ record: Type.String(), expr: Type.String() }, { additionalProperties: false })
const Alert = Type.Object({
  alert: Type.String({ pattern: '^Falgate[A-Za-z]+$' }),
  expr: Type.String(),
  for: Type.Optional(Type.String({ pattern: '^\\d+m$' })),
  labels: Type.Object({ severity: Type.Union([Type.Literal('critical'), Type.Literal('warning'), Type.Literal('info')]) }, { additionalProperties: false }),
  annotations: Type.Object({ summary: Type.String(), runbook: Type.String() }, { additionalProperties: false })
}, { additionalProperties: false })
const RuleFile = Type.Object({ groups: Type.Array(Type.Object({ name: Type.String(), rules: Type.Array(Type.Union([Recording, Alert])) }, { additionalProperties: false })) }, { additionalProperties: false })

/** One case for an alert: it fires when it expects something. */
const Case = Type.Object({ alertname: Type.String(), eval_time: Type.String(), exp_alerts: Type.Array(Type.Unknown()) }, { additionalProperties: false })
const RuleTests = Type.Object({ tests: Type.Array(Type.Object({ input_series: Type.Array(Type.Object({ series: Type.String() })), alert_rule_test: Type.Array(Case) })) })

const PrometheusFile = Type.Object({ scrape_configs: Type.Array(Type.Object({ job_name: Type.String(), static_configs: Type.Array(Type.Object({ targets: Type.Array(Type.String()) })) })) })

const Panel = Type.Object({
  title: Type.String(),
  gridPos: Type.Object({ x: Type.Integer(), y: Type.Integer(), w: Type.Integer(), h: Type.Integer() }),
  targets: Type.Optional(Type.Array(Type.Object({ expr: Type.String(), legendFormat: Type.String() })))
})
const Dashboard = Type.Object({ uid: Type.String(), panels: Type.Array(Panel), templating: Type.Object({ list: Type.Array(Type.Object({ name: Type.String(), query: Type.Unknown() })) }) })

export type Alert = Static<typeof Alert>

const prometheusDir = join(projectDir, 'docker', 'prometheus')
const testsDir = join(prometheusDir, 'tests')

/** The files that promtool is given with `test rules`. */
export const ruleTestFiles: readonly string[] = readdirSync(testsDir).map(name => join(testsDir, name))

export const rulesFile = join(prometheusDir, 'rules.yml')
export const prometheusFile = join(prometheusDir, 'prometheus.yml')

/** A file of YAML, by its path in the project. Throws when it is none. */
export function readYaml (path: string): unknown {
  return yamlIn(join(projectDir, path))
}

function yamlIn (file: string): unknown {
  const document = parseDocument(readFileSync(file, 'utf8'))
  const [fault] = [...document.errors, ...document.warnings]
  if (fault !== undefined) throw fault
  return document.toJS()
}

/** All that Prometheus scrapes, as `host:port`. */
export function readTargets (): readonly string[] {
  const content = yamlIn(prometheusFile)
  if (!guardOf(PrometheusFile)(content)) throw new Error('docker/prometheus/prometheus.yml has another form')
  return content.scrape_configs.flatMap(job => job.static_configs.flatMap(({ targets }) => targets))
}

/** What is recorded under names of its own, and what alerts. Throws where a rule has not the form of all others. */
export function readRules (): { readonly recordings: ReadonlyArray<Static<typeof Recording>>, readonly alerts: readonly Alert[] } {
  const content = yamlIn(rulesFile)
  if (!guardOf(RuleFile)(content)) throw new Error(misfitsOf(RuleFile, content).map(({ path, message }) => `${path} ${message}`).join(', '))
  const rules = content.groups.flatMap(({ rules }) => rules)
  return { recordings: rules.filter(rule => 'record' in rule), alerts: rules.filter(rule => 'alert' in rule) }
}

/** All cases of promtool, and the series that they make up. */
export function readRuleTests (): { readonly cases: ReadonlyArray<Static<typeof Case>>, readonly series: readonly string[] } {
  const files = ruleTestFiles.map(yamlIn).map(content => {
    if (!guardOf(RuleTests)(content)) throw new Error(misfitsOf(RuleTests, content).map(({ path, message }) => `${path} ${message}`).join(', '))
    return content
  })
  const tests = files.flatMap(({ tests }) => tests)
  return { cases: tests.flatMap(test => test.alert_rule_test), series: tests.flatMap(test => test.input_series.map(({ series }) => series)) }
}

/** The panels of the dashboard, and the queries of its variables as they stand there. */
export function readDashboard (): { readonly panels: ReadonlyArray<Static<typeof Panel>>, readonly variables: readonly string[] } {
  const content: unknown = JSON.parse(readFileSync(join(projectDir, 'docker', 'grafana', 'dashboard.json'), 'utf8'))
  if (!guardOf(Dashboard)(content)) throw new Error(misfitsOf(Dashboard, content).map(({ path, message }) => `${path} ${message}`).join(', '))
  return { panels: content.panels, variables: content.templating.list.map(({ query }) => JSON.stringify(query)) }
}

/** A name of a metric in an expression, with the labels that are asked of it. */
export interface Named { readonly name: string, readonly labels: readonly string[] }

/** What an expression of PromQL names: metrics with the labels of their matchers, and the labels that it groups by. */
export function namesIn (expr: string): { readonly metrics: readonly Named[], readonly groupedBy: readonly string[] } {
  // Texts may hold anything.
  const bare = expr.replaceAll(/"(?:[^"\\]|\\.)*"/g, '""')
  const grouping = /\b(?:by|without|on|ignoring)\s*\(([^)]*)\)/g
  const labelsOf = (list: string): readonly string[] => list.split(',').map(label => label.trim()).filter(label => label !== '')
  const groupedBy = [...bare.matchAll(grouping)].flatMap(([, list = '']) => labelsOf(list))
  const metrics = [...bare.replaceAll(grouping, '').matchAll(/(?<![\w:$])([a-zA-Z_][\w:]*)(?:\{([^}]*)\})?(?![\w:]*\s*\()/g)]
    .filter(([, name = '']) => !words.has(name))
    .map(([, name = '', matchers = '']) => ({ name, labels: [...matchers.matchAll(/(\w+)\s*(?:=~|!~|!=|=)/g)].map(([, label = '']) => label) }))
  return { metrics, groupedBy }
}

/** Words of the language and units of its times (a time such as `5m` begins with a digit, and is no name). */
const words = new Set(['and', 'or', 'unless', 'offset', 'by', 'without', 'on', 'ignoring', 'bool'])
