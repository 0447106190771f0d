// What is understood on the command line, and what is said about the rest.

import t from 'tap'
import { commandNames, readArguments } from '../../src/cli/arguments.ts'
import { helpText } from '../../src/cli/help.ts'

t.test('each command is understood, and none means serve', async t => {
  t.same(readArguments([]), { kind: 'run', command: 'serve' })
  for (const command of ['serve', 'check', 'health', 'sandbox']) t.same(readArguments([command]), { kind: 'run', command })
  t.same(readArguments(['key', 'studio']), { kind: 'run', command: 'key', tenantId: 'studio' })
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
    [['key'], 'key needs the id of a tenant'],
    [['key', 'a', 'b'], 'key takes one tenant at a time'],
    [['key', 'a b'], 'a tenant\'s id has 1 to 64 letters, digits, dots, underscores and hyphens']
  ]
  for (const [args, message] of cases) t.same(readArguments(args), { kind: 'misused', message }, args.join(' '))
})
