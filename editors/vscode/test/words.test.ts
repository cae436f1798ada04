import assert from 'node:assert/strict'
import test from 'node:test'

import { quoted, words } from '../src/words'

test('words are read as a shell reads them', () => {
  assert.deepEqual(words(`--lr 1e-3 'two words' "a \\"b\\"" c\\ d`), ['--lr', '1e-3', 'two words', 'a "b"', 'c d'])
  assert.deepEqual(words(''), [])
})

test('what was quoted is read as it was', () => {
  for (const word of ['plain', 'two words', "it's", '"', '\\', '$HOME']) assert.deepEqual(words(quoted(word)), [word])
})
