// The tables of the report.

export interface Round { readonly perSecond: number, readonly cpuUs: number, readonly p50Ms: number, readonly p99Ms: number }

export interface Measured { readonly name: string, readonly what: string, readonly rounds: readonly Round[] }

export function throughputTable (measured: readonly Measured[]): string {
  const rows = measured.map(({ name, what, rounds }) => {
    const rates = rounds.map(({ perSecond }) => perSecond).toSorted((one, other) => one - other)
    const cells = [
      name,
      whole(median(rates)),
      `${whole(rates[0] ?? NaN)} to ${whole(rates.at(-1) ?? NaN)}`,
      median(rounds.map(({ cpuUs }) => cpuUs)).toFixed(0),
      median(rounds.map(({ p50Ms }) => p50Ms)).toFixed(2),
      median(rounds.map(({ p99Ms }) => p99Ms)).toFixed(2),
      what
    ]
    return `| ${cells.join(' | ')} |`
  })
  return ['| contestant | requests/s | least to most | CPU µs each | p50 ms | p99 ms | what it does |', '| --- | ---: | ---: | ---: | ---: | ---: | --- |', ...rows].join('\n')
}

/** What a measurement promises: whether that was so, and what was found. */
export interface Bound { readonly name: string, readonly isKept: boolean, readonly found: string }

/** Which bounds were kept. */
export function boundTable (bounds: readonly Bound[]): string {
  return ['| bound | found | kept |', '| --- | ---: | --- |', ...bounds.map(({ name, found, isKept }) => `| ${name} | ${found} | ${isKept ? 'yes' : '**no**'} |`)].join('\n')
}

/** What is to be reached: how many times the requests per second of another one. */
const goals = [
  { of: 'falgate, hit', by: 'bare Fastify', reach: 0.65 },
  { of: 'falgate, hit', by: 'Fastify composition', reach: 1.5 },
  { of: 'falgate, hit', by: 'nginx proxy_cache', reach: null },
  { of: 'falgate, miss', by: '@fal-ai/server-proxy', reach: 1 },
  { of: 'falgate, miss', by: 'Portkey gateway', reach: 2 }
] as const

/** Ratios round by round, so that what the machine did meanwhile hits both. */
export function ratioTable (measured: readonly Measured[]): string {
  const rows = goals.flatMap(({ of, by, reach }) => {
    const one = measured.find(({ name }) => name === of)
    const other = measured.find(({ name }) => name === by)
    if (one === undefined || other === undefined) return []
    const ratios = one.rounds.map(({ perSecond }, round) => perSecond / (other.rounds[round]?.perSecond ?? NaN)).toSorted((first, second) => first - second)
    const middle = median(ratios)
    const verdict = reach === null ? '–' : middle >= reach ? 'yes' : 'no'
    return [`| ${of} / ${by} | ${middle.toFixed(2)} | ${ratios[0]?.toFixed(2)} to ${ratios.at(-1)?.toFixed(2)} | ${reach ?? '–'} | ${verdict} |`]
  })
  return ['| ratio | median | least to most | to reach | reached |', '| --- | ---: | ---: | ---: | --- |', ...rows].join('\n')
}

export function median (values: readonly number[]): number {
  const sorted = values.toSorted((one, other) => one - other)
  const middle = (sorted.length - 1) / 2
  return ((sorted[Math.floor(middle)] ?? NaN) + (sorted[Math.ceil(middle)] ?? NaN)) / 2
}

function whole (value: number): string {
  return Math.round(value).toLocaleString('en-US')
}
