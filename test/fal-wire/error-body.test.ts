// fal's error bodies are read in every form that its documentation and code show, and nothing else passes for one.

import t from 'tap'
import { ErrorBody, readErrorBody } from '../../src/fal-wire/error-body.ts'
import { guardOf } from '../../src/schema.ts'

t.test('a model error is its lines', async t => {
  const line = { loc: ['body', 'num_images', 0], msg: 'too many', type: 'less_than_equal', url: 'https://docs.fal.ai/errors/', ctx: { le: 1 }, input: 4 }
  t.equal(guardOf(ErrorBody)({ detail: [line] }), true)
  t.same(readErrorBody(JSON.stringify({ detail: [line, { ...line, loc: [] }] }), null), { types: ['less_than_equal'], text: null, lines: [line, { ...line, loc: [] }] })
})

t.test('a request error is its text and its type, from the body or else from the header', async t => {
  const body = { detail: 'no runner', error_type: 'runner_scheduling_failure' }
  t.equal(guardOf(ErrorBody)(body), true)
  t.same(readErrorBody(JSON.stringify(body), 'other'), { types: ['runner_scheduling_failure'], text: 'no runner', lines: [] })
  t.same(readErrorBody('{"detail":"x"}', 'request_timeout'), { types: ['request_timeout'], text: 'x', lines: [] })
  t.same(readErrorBody('{"detail":"x"}', null), { types: [], text: 'x', lines: [] })
})

t.test('a line is kept as far as it is one', async t => {
  const lines = [{ msg: 'a', type: 'b' }, { loc: 'body', msg: 'a', type: 'c', ctx: 7, input: 'p' }, { msg: 'a' }, null, 'text', []]
  t.same(readErrorBody(JSON.stringify({ detail: lines }), null), { types: ['b', 'c'], text: null, lines: [{ loc: [], msg: 'a', type: 'b' }, { loc: [], msg: 'a', type: 'c' }] })
})

t.test('what an ingress or another server says is no body of fal\'s', async t => {
  for (const body of ['', '<html>nginx</html>', 'null', '7', '"detail"', '[]', '{}', '{"status":"NOT_FOUND"}', '{"detail":null}', '{"detail":{"a":1}}']) {
    t.equal(readErrorBody(body, 'request_timeout'), null, body)
  }
})
