// A pseudo-terminal of Python's, with a program in it: what it draws, what is typed, and whether the terminal is as it was when the program has ended.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Test } from 'tap'
import type { Env } from './processes.ts'

export interface Terminal {
  /** All that was written to it so far, escapes included. */
  readonly drawn: () => string
  /** What stands on the screen: of the last picture that was begun, without escapes. */
  readonly screen: () => string
  readonly type: (keys: string) => void
  readonly resize: (columns: number, rows: number) => void
  /** Sends a signal to the program. */
  readonly signal: (name: 'SIGTERM' | 'SIGINT' | 'SIGHUP') => void
  /** How the program ended, and whether the terminal's settings are those of before. */
  readonly ended: Promise<{ readonly code: number, readonly isRestored: boolean }>
}

/** Each line of its input is a command as JSON; what is drawn is its output. When its input ends, so does the program. */
const script = `
import fcntl, json, os, pty, select, signal, struct, sys, termios
master, slave = pty.openpty()
def resize(columns, rows): fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack('HHHH', rows, columns, 0, 0))
resize(int(sys.argv[1]), int(sys.argv[2]))
before = termios.tcgetattr(slave)
child = os.fork()
if child == 0:
    os.setsid()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    for fd in (0, 1, 2): os.dup2(slave, fd)
    os.execvp(sys.argv[3], sys.argv[3:])
os.set_blocking(0, False)
pending = b''
while True:
    ready, _, _ = select.select([master, 0], [], [], 0.05)
    if master in ready: os.write(1, os.read(master, 65536))
    if 0 in ready:
        given = os.read(0, 65536)
        if not given: os.kill(child, signal.SIGKILL)
        *lines, pending = (pending + given).split(b'\\n')
        for command in map(json.loads, lines):
            if 'type' in command: os.write(master, command['type'].encode())
            if 'resize' in command: resize(*command['resize'])
            if 'signal' in command: os.kill(child, getattr(signal, command['signal']))
    ended, status = os.waitpid(child, os.WNOHANG)
    if ended: break
while select.select([master], [], [], 0)[0]: os.write(1, os.read(master, 65536))
print(json.dumps({'code': os.waitstatus_to_exitcode(status), 'isRestored': termios.tcgetattr(slave) == before}), file=sys.stderr)
`

/** Starts a program in a terminal of this size, for a minute at most. */
export function startTerminal (t: Test, command: readonly string[], env: Env, { columns = 100, rows = 30 } = {}): Terminal {
  const child = spawn('python3', ['-c', script, String(columns), String(rows), ...command], { env: { PATH: process.env['PATH'] ?? '', TERM: 'xterm', ...env }, stdio: ['pipe', 'pipe', 'pipe'], timeout: 60_000, killSignal: 'SIGKILL' })
  let [drawn, told] = ['', '']
  child.stdout.setEncoding('utf8').on('data', (text: string) => { drawn += text })
  child.stderr.setEncoding('utf8').on('data', (text: string) => { told += text })
  child.stdin.on('error', () => {})
  const send = (order: object): void => { child.stdin.write(JSON.stringify(order) + '\n') }
  const closed = once(child, 'close')
  t.teardown(async () => {
    child.stdin.end()
    await closed
  })
  return {
    drawn: () => drawn,
    // eslint-disable-next-line no-control-regex -- the escapes of a terminal
    screen: () => drawn.slice(drawn.lastIndexOf('\x1b[H') + 3).replaceAll(/\x1b\[[?\d;]*[A-Za-z]|\r/g, ''),
    type: keys => { send({ type: keys }) },
    resize: (columns, rows) => { send({ resize: [columns, rows] }) },
    signal: name => { send({ signal: name }) },
    ended: closed.then(() => JSON.parse(told))
  }
}
