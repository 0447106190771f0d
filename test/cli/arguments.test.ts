// What is understood on the command line, and what is said about the rest.

import t from 'tap'
import { commandNames, readArguments } from '../../src/cli/arguments.ts'
import { helpText } from '../../src/cli/help.ts'

t.test('each command is understood, and none means serve', async t => {
  t.same(readArguments([]), { kind: 'run', command: 'serve' })
  for (const command of ['serve', 'check', 'health', 'sandbox']) t.same(readArguments([command]), { kind: 'run', command })
  t.same(readArguments(['key', 'studio']), { kind: 'run', command: 'key', tenantId: 'studio' })
})

t.test('operators\' commands are understood', async t => {
  const fromMs = Date.UTC(2026, 10, 1)
  t.same(readArguments(['usage', '--csv']), { kind: 'run', command: 'usage', format: 'csv', fromMs: null, toMs: null })
  t.same(readArguments(['usage', '--jsonl', '--from', '2026-11-01', '--to=2026-11-01T01:00:00+01:00']), { kind: 'misused', message: '--from has to be before --to' })
  t.same(readArguments(['usage', '--jsonl', '--from', '2026-11-01', '--to=2026-11-01T02:00:00+01:00']), { kind: 'run', command: 'usage', format: 'jsonl', fromMs, toMs: fromMs + 3_600_000 })
  t.same(readArguments(['unknown']), { kind: 'run', command: 'unknown', format: 'table' })
  t.same(readArguments(['unknown', '--jsonl']), { kind: 'run', command: 'unknown', format: 'jsonl' })
  t.same(readArguments(['settle', 'an-id', '--billed']), { kind: 'run', command: 'settle', id: 'an-id', billed: true })
  t.same(readArguments(['correct', 'an-id', '--usd', '0.06']), { kind: 'run', command: 'correct', about: 'an-id', cost: 60_000 })
  t.same(readArguments(['correct', 'an-id', '--usd=0']), { kind: 'run', command: 'correct', about: 'an-id', cost: 0 })
  t.same(readArguments(['ledger', 'recount']), { kind: 'run', command: 'ledger', work: 'recount', isMending: false })
  t.same(readArguments(['ledger', 'recount', '--write']), { kind: 'run', command: 'ledger', work: 'recount', isMending: true })
  t.same(readArguments(['ledger', 'mend', '--write']), { kind: 'run', command: 'ledger', work: 'mend', isMending: true })
  t.same(readArguments(['correct', '--confirm', 'an-id']), { kind: 'run', command: 'correct', about: 'an-id', cost: null })
  t.same(readArguments(['correct', 'fal-ai/a.model/x', '--confirm']), { kind: 'run', command: 'correct', about: 'fal-ai/a.model/x', cost: null })
  t.same(readArguments(['settle', '--unbilled', 'an-id']), { kind: 'run', command: 'settle', id: 'an-id', billed: false })
})

t.test('help is a command, too, for all and for each', async t => {
  t.same(readArguments(['help']), { kind: 'help', command: null })
  for (const command of commandNames) t.same(readArguments(['help', command]), { kind: 'help', command })
  t.same(readArguments(['help', 'frob']), { kind: 'misused', message: 'there is no command "frob"' })
  t.same(readArguments(['help', 'key', 'model']), { kind: 'misused', message: 'help takes one command at a time' })
})

t.test('help and version are found in both spellings, before or after a command', async t => {
  t.same(readArguments(['--help']), { kind: 'help', command: null })
  t.same(readArguments(['-h']), { kind: 'help', command: null })
  t.same(readArguments(['key', '--help']), { kind: 'help', command: 'key' })
  t.same(readArguments(['-h', 'check']), { kind: 'help', command: 'check' })
  t.same(readArguments(['--version']), { kind: 'version' })
  t.same(readArguments(['-V']), { kind: 'version' })
})

t.test('every command has a help text', async t => {
  for (const command of commandNames) {
    t.match(helpText(command), new RegExp(`^Usage: falgate ${command}`))
    t.match(helpText(null), new RegExp(`^  ${command} `, 'm'))
  }
})

t.test('what is not understood is named', async t => {
  const cases: readonly (readonly [args: readonly string[], message: string])[] = [
    [['frob'], 'there is no command "frob"'],
    [['--frob'], 'Unknown option \'--frob\''],
    [['serve', 'now'], 'serve takes no argument'],
    [['--help=1'], 'Option \'-h, --help\' does not take an argument'],
    [['serve', '--csv'], 'serve has no option --csv'],
    [['unknown', '--billed'], 'unknown has no option --billed'],
    [['usage'], 'usage needs one of --csv and --jsonl'],
    [['usage', '--csv', '--jsonl'], 'usage needs one of --csv and --jsonl'],
    [['usage', '--csv', '--from', 'today'], '--from and --to need a day such as 2026-11-01 or a time such as 2026-11-01T12:00:00Z'],
    [['usage', '--csv', '--to', '2026-02-30'], '--from and --to need a day such as 2026-11-01 or a time such as 2026-11-01T12:00:00Z'],
    [['settle', '--billed'], 'settle needs the id of a generation'],
    [['settle', 'a', 'b', '--billed'], 'settle takes one generation at a time'],
    [['settle', 'a'], 'settle needs one of --billed and --unbilled'],
    [['settle', 'a', '--billed', '--unbilled'], 'settle needs one of --billed and --unbilled'],
    [['settle', '{}', '--billed'], 'a generation\'s id has up to 64 letters, digits and hyphens'],
    [['correct', '--confirm'], 'correct needs the id of a generation'],
    [['correct', 'a', 'b', '--confirm'], 'correct takes one generation at a time'],
    [['correct', 'a'], 'correct needs one of --usd and --confirm'],
    [['correct', 'a', '--usd', '1', '--confirm'], 'correct needs one of --usd and --confirm'],
    [['correct', '{}', '--confirm'], 'a generation\'s id has up to 64 letters, digits and hyphens'],
    [['correct', 'fal-ai/a', '--usd', '1'], 'of a model the price can only be confirmed'],
    ...['1e3', 'six cents', '', '1000000.01', '$1'].map(usd => [['correct', 'a', '--usd', usd], '--usd needs dollars, as a plain number of at most a million'] as const),
    [['ledger'], 'ledger needs what is to be done: recount, mend or take-back'],
    [['ledger', 'mend', 'a'], 'ledger mend takes no argument'],
    [['ledger', 'recount', 'a'], 'ledger recount takes no argument'],
    [['media'], 'media needs what is to be done: ls, gc or rm'],
    [['media', 'ls', 'a'], 'media ls takes no argument'],
    [['media', 'ls', '--strays'], 'media ls has no option --strays'],
    [['media', 'gc', 'a'], 'media gc takes no argument'],
    [['media', 'gc', '--json'], 'media gc has no option --json'],
    [['media', 'rm'], 'media rm needs the name of a file, or the id of a generation'],
    [['media', 'rm', 'a', 'b'], 'media rm takes one at a time'],
    [['media', 'rm', 'a', '--dry-run'], 'media rm has no option --dry-run'],
    [['media', 'rm', '../a'], 'a file\'s name is a SHA-256 in hex with an ending, a generation\'s id has up to 64 letters, digits and hyphens'],
    [['unknown', '--write'], 'unknown has no option --write'],
    [['key'], 'key needs the id of a tenant'],
    [['key', 'a', 'b'], 'key takes one tenant at a time'],
    [['key', 'a b'], 'a tenant\'s id has 1 to 64 letters, digits, dots, underscores and hyphens']
  ]
  for (const [args, message] of cases) t.same(readArguments(args), { kind: 'misused', message }, args.join(' '))
})
