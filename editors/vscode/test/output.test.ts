import assert from 'node:assert/strict'
import test from 'node:test'

import { Decoder, places } from '../src/output'
import type { Output } from '../src/protocol'

function part(data: string, encoding: Output['encoding'] = 'utf-8'): Output {
  return { job: 'j', offset: 0, end: 0, stream: 'stdout', data, encoding }
}

test('a character that is cut between two parts is whole', () => {
  const bytes = Buffer.from('ü✓')
  const decoder = new Decoder(true)
  const text = [...bytes].map((byte) => decoder.take(part(Buffer.from([byte]).toString('base64'), 'base64')))
  assert.equal(text.join(''), 'ü✓')
})

test('lines of a job without a terminal begin at the left', () => {
  assert.equal(new Decoder(false).take(part('a\nb\r\n')), 'a\r\nb\r\n')
  assert.equal(new Decoder(true).take(part('a\nb')), 'a\nb')
})

test('a line of a traceback leads to the file here', () => {
  const folders = [{ here: '/home/me/digits', there: '/srv/digits' }]
  const line = '  File "/srv/digits/model.py", line 12, in fit'
  assert.deepEqual(places(line, folders, '/srv/digits'), [
    { start: 8, length: '/srv/digits/model.py", line 12'.length, path: '/home/me/digits/model.py', line: 12 },
  ])
  assert.equal(places('tests/test_x.py:3: AssertionError', folders, '/srv/digits')[0]?.path, '/home/me/digits/tests/test_x.py')
  assert.deepEqual(places('  File "/usr/lib/python3/json.py", line 1', folders, '/srv/digits'), [])
  assert.deepEqual(places('  File "/srv/digits2/a.py", line 1', folders, '/srv/digits'), [])
})
