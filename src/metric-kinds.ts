// Kinds of metrics: each registers itself and gives the function that counts. What is counted stands in `metrics.ts`.

import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client'

/** Names of labels, one for each value. */
type NamesOf<Values extends readonly unknown[]> = { readonly [Place in keyof Values]: string }

type Words = readonly string[]

/** A counter with two labels whose sums can be read. */
export interface Sums<First extends string, Second extends string> {
  /** Adds to what these labels have, 1 where nothing is said. */
  (first: First, second: Second, amount?: number): void
  readonly read: (first: First, second: Second) => number
}

/** Metrics in a registry of their own. `Facts`: what is read when Prometheus asks. */
export interface Meters<Facts> {
  /** Counts one, by the values of its labels. */
  readonly counter: <Values extends Words = []>(name: string, help: string, ...labels: NamesOf<Values>) => (...values: Values) => void
  /** Counts several at once. */
  readonly adder: (name: string, help: string) => (amount: number) => void
  /** A counter that hits write to, with two labels; it counts in `unit`s, and shows how many it has in ones. */
  readonly sums: <First extends string, Second extends string>(name: string, help: string, labels: readonly [string, string], unit?: number) => Sums<First, Second>
  /** A number that is told whenever it changes. */
  readonly level: (name: string, help: string) => (value: number) => void
  /** Something that is there or not: no series before it was told. */
  readonly flag: <Values extends Words = []>(name: string, help: string, ...labels: NamesOf<Values>) => (...told: [...values: Values, isThere: boolean]) => void
  /** Names to which something applies, told all at once: each is 1, and those that are not among them are not shown. */
  readonly marks: (name: string, help: string, label: string) => (names: Iterable<string>) => void
  readonly histogram: <Values extends Words>(name: string, help: string, buckets: readonly number[], ...labels: NamesOf<Values>) => (...told: [...values: Values, seconds: number]) => void
  /** A histogram of requests, which every hit writes to. */
  readonly requestHistogram: (name: string, help: string, buckets: readonly number[]) => (route: string, method: string, status: number, seconds: number) => void
  /** Always 1; what it says is in its labels. */
  readonly note: (name: string, help: string, labels: Readonly<Record<string, string>>) => void
  /** A number among the facts. */
  readonly shown: (name: string, help: string, of: (facts: Facts) => number) => void
  /** Numbers among the facts, by one label; they are in `unit`s, and are shown in ones. */
  readonly shownBy: (label: string, name: string, help: string, of: (facts: Facts) => Iterable<readonly [string, number]>, unit?: number) => void
  /** Numbers among the facts, by two labels. */
  readonly shownByTwo: (labels: readonly [string, string], name: string, help: string, of: (facts: Facts) => Iterable<readonly [string, string, number]>) => void
  /** Names the one source of facts; it may reject, when it has told why itself: then the last ones are shown again. */
  readonly onCollect: (read: () => Promise<Facts>) => void
  readonly contentType: string
  readonly render: () => Promise<string>
}

/**
 * Metrics of prom-client that say by their ending that they are counters, and are none: linters and scrapers that believe names trip over them. Those of the same name
 * without the ending say more.
 */
const misnamed = ['nodejs_active_handles_total', 'nodejs_active_requests_total', 'nodejs_active_resources_total']

export function createMeters<Facts> (): Meters<Facts> {
  const registry = new Registry()
  const registers = [registry]
  collectDefaultMetrics({ register: registry })
  for (const name of misnamed) registry.removeSingleMetric(name)
  const shows: Array<(facts: Facts) => void> = []
  let readFacts: (() => Promise<Facts>) | undefined

  return {
    counter: (name, help, ...labelNames) => {
      const counter = new Counter<string>({ registers, name, help, labelNames })
      return (...values) => { counter.inc(labelled(labelNames, values)) }
    },
    adder: (name, help) => {
      const counter = new Counter({ registers, name, help })
      return amount => { counter.inc(amount) }
    },
    sums: (name, help, labels, unit = 1) => sumsIn(registry, name, help, labels, unit),
    level: (name, help) => {
      const gauge = new Gauge({ registers, name, help })
      return value => { gauge.set(value) }
    },
    flag: (name, help, ...labelNames) => {
      const gauge = new Gauge<string>({ registers, name, help, labelNames })
      // One without labels would be 0 from the start.
      if (labelNames.length === 0) gauge.remove()
      return (...told) => { gauge.set(labelled(labelNames, told), told.at(-1) === true ? 1 : 0) }
    },
    marks: (name, help, label) => {
      const gauge = new Gauge<string>({ registers, name, help, labelNames: [label] })
      return names => {
        gauge.reset()
        for (const name of names) gauge.set({ [label]: name }, 1)
      }
    },
    histogram: (name, help, buckets, ...labelNames) => {
      const histogram = new Histogram<string>({ registers, name, help, labelNames, buckets: [...buckets] })
      return (...told) => { histogram.observe(labelled(labelNames, told), Number(told.at(-1))) }
    },
    requestHistogram: (name, help, buckets) => requestHistogramIn(registry, name, help, buckets),
    note: (name, help, labels) => {
      new Gauge<string>({ registers, name, help, labelNames: Object.keys(labels) }).set(labels, 1)
    },
    shown: (name, help, of) => {
      const gauge = new Gauge({ registers, name, help })
      shows.push(facts => { gauge.set(of(facts)) })
    },
    shownBy: (label, name, help, of, unit = 1) => {
      const gauge = new Gauge<string>({ registers, name, help, labelNames: [label] })
      shows.push(facts => {
        // Series of tenants that are gone from the file, or have nothing waiting, must not stay.
        gauge.reset()
        for (const [value, number] of of(facts)) gauge.set({ [label]: value }, number / unit)
      })
    },
    shownByTwo: ([first, second], name, help, of) => {
      const gauge = new Gauge<string>({ registers, name, help, labelNames: [first, second] })
      shows.push(facts => {
        gauge.reset()
        for (const [one, other, number] of of(facts)) gauge.set({ [first]: one, [second]: other }, number)
      })
    },
    onCollect: read => { readFacts = read },
    contentType: registry.contentType,
    render: async () => {
      // With the store away the process still has to be seen.
      const facts = await readFacts?.().catch(() => undefined)
      if (facts !== undefined) for (const show of shows) show(facts)
      return await registry.metrics()
    }
  }
}

function labelled (names: readonly string[], values: readonly unknown[]): Record<string, string> {
  return Object.fromEntries(names.map((name, place) => [name, String(values[place])]))
}

/** prom-client checks labels again with each new child; children are kept because this runs for every hit. */
function requestHistogramIn (registry: Registry, name: string, help: string, buckets: readonly number[]): (route: string, method: string, status: number, seconds: number) => void {
  const histogram = new Histogram({ registers: [registry], name, help, labelNames: ['route', 'method', 'status'], buckets: [...buckets] })
  const observers = new Map<string, Map<string, (seconds: number) => void>>()
  return (route, method, status, seconds) => {
    const key = `${status} ${method}`
    let byKey = observers.get(route)
    if (byKey === undefined) observers.set(route, byKey = new Map())
    let observe = byKey.get(key)
    if (observe === undefined) byKey.set(key, observe = histogram.labels({ route, method, status }).observe)
    observe(seconds)
  }
}

/**
 * It adds up whole numbers, and shows them when it is asked: micro-dollars stay exact, and prom-client, which checks and hashes labels on each call, is
 * only called for reading.
 */
function sumsIn<First extends string, Second extends string> (registry: Registry, name: string, help: string, labelNames: readonly [string, string], unit: number): Sums<First, Second> {
  const sums = new Map<First, Map<Second, number>>()
  const [firstName, secondName] = labelNames
  registry.registerMetric(new Counter<string>({
    name,
    help,
    registers: [],
    labelNames,
    collect () {
      this.reset()
      for (const [first, row] of sums) {
        for (const [second, amount] of row) this.inc({ [firstName]: first, [secondName]: second }, amount / unit)
      }
    }
  }))

  function add (first: First, second: Second, amount = 1): void {
    let row = sums.get(first)
    if (row === undefined) sums.set(first, row = new Map())
    row.set(second, (row.get(second) ?? 0) + amount)
  }

  return Object.assign(add, { read: (first: First, second: Second) => sums.get(first)?.get(second) ?? 0 })
}
